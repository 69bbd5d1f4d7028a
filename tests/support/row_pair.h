// A master with capture and a replica that applies, for tests of the row-change engine.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/apply.h"
#include "common/capture.h"
#include "common/changeset.h"
#include "common/sqlite.h"
#include "tests/support/scratch_folder.h"

namespace csa::test {

// All of a changeset, decoded. Table numbers count in `tables`, which the whole list shares.
struct DecodedChanges {
  std::vector<Change> changes;
  std::vector<ChangeTable> tables;
};
// Fails the test when the bytes do not decode. REQUIRES: at most one schema.
[[nodiscard]] DecodedChanges decode(ByteView bytes);

class RowPair {
 public:
  // Both start with `schema` executed.
  explicit RowPair(std::string_view schema);

  // One captured write on the master: its changeset, or nullopt when a statement failed and the
  // write was rolled back; then last_error() says why.
  std::optional<Bytes> write(const std::vector<std::string>& statements);
  // A captured write of one schema statement.
  Bytes migrate(std::string_view sql, bool keep_rows_before = false);
  // Applies to `target` in one transaction, in pieces of `piece` bytes.
  static Status apply(const Database& db, Applier& applier, ByteView bytes, std::size_t piece);
  Status apply(ByteView bytes) { return apply(replica, *applier_, bytes, 7); }
  // Undoes a changeset on the replica.
  Status undo(ByteView bytes);
  Status apply_two_phase(const Database& db, Applier& applier, ByteView bytes);
  [[nodiscard]] const std::string& last_error() const { return last_error_; }
  [[nodiscard]] std::string difference() const;
  [[nodiscard]] Applier& applier() { return *applier_; }

 private:
  ScratchFolder directory_;

 public:
  Database master;
  Database replica;

 private:
  std::optional<Capture> capture_;
  std::optional<Applier> applier_;
  std::string last_error_;
};

}  // namespace csa::test
