// Rows to which a journal gave another declared key while the master did not: what later entries
// call by the new key is the row under the old one. Read from the inbox, where the change of key
// lies. Belongs to the ledger's thread; throws SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>

#include "broker/inbox_reader.h"
#include "broker/row_identity.h"
#include "common/sqlite.h"
#include "common/types.h"

namespace csa {

class MergeSchema;

class RenamedRows {
 public:
  explicit RenamedRows(const Database& db);  // must outlive this

  // What the row was that the journal calls `row` since a change of key that did not win.
  [[nodiscard]] std::optional<RowIdentity> find(MergeSchema& schema, const NodeId& node,
                                                std::uint64_t journal, const Id128& row);
  // From now on; equal identities: the master calls it so too.
  void note(const NodeId& node, std::uint64_t journal, const RowIdentity& at_node,
            const RowIdentity& was);
  // After a rollback, or when the schema may have changed.
  void forget() { journals_.clear(); }

 private:
  using Names = std::map<Id128, RowIdentity>;
  [[nodiscard]] Names read(MergeSchema& schema, const NodeId& node, std::uint64_t journal);

  InboxReader inbox_;
  std::map<std::pair<NodeId, std::uint64_t>, Names> journals_;
};

}  // namespace csa
