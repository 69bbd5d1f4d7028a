// Rows of the inbox as they were kept last. Belongs to the ledger's thread; throws SqliteError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/inbox_rows.h"
#include "common/bytes.h"
#include "common/inbox_format.h"
#include "common/sqlite.h"
#include "common/types.h"

namespace csa {

// The rule's name for entries that lost whole: rows of such are held like parked ones.
inline constexpr std::string_view kAtomicRule = "atomic";

struct KeptConflict {
  std::int64_t id = 0;
  Seq seq;  // of the log entry that decided it
  TxId tx;
  std::uint64_t journal = 0;
  std::uint64_t bundle = 0;
  std::string time, hostname, node_time, state;
  Bytes hash;
  InboxDecision decided;
  std::string key;  // JSON
  StoredVersions stored;
  // Its transaction was kept whole: parked, or lost all or nothing.
  [[nodiscard]] bool is_whole() const;
  // By the table's columns of that time; a row that was not there has no values.
  struct Versions {
    std::vector<std::string> columns;
    Row base, broker, node;
  };
  [[nodiscard]] std::optional<Versions> versions() const;
  // Of a row whose key is one integer.
  [[nodiscard]] std::optional<std::int64_t> number() const;
};

class InboxReader {
 public:
  explicit InboxReader(const Database& db);  // must outlive this
  // Nothing: there is none, or it is damaged.
  [[nodiscard]] std::optional<KeptConflict> find(std::int64_t id);
  // By id, from this one on, until `visit` returns false. In its place among them, one that cannot
  // be read goes to `damaged`, with what its row of csa_inbox tells of all: neither what was
  // decided nor key and versions.
  using Visit = std::function<bool(KeptConflict& conflict)>;
  void each_from(std::int64_t id, const Visit& visit, const Visit& damaged = skip);
  void each_of(const NodeId& node, std::uint64_t journal, const Visit& visit,
               const Visit& damaged = skip);
  // The tables were written, or a transaction was rolled back.
  void forget() { known_.clear(); }

 private:
  // One row of csa_inbox, taken apart.
  struct Stored {
    std::int64_t first = 0;
    KeptConflict shared;
    Bytes hashes;
    std::vector<InboxRow> rows;  // none: damaged
    std::vector<Bytes> exact;
    std::size_t size = 0;  // of its texts
    // As many as there are hashes, whatever else is damaged.
    [[nodiscard]] std::int64_t count() const;
  };
  static bool skip(const KeptConflict&) { return true; }
  [[nodiscard]] static Stored read(const Statement& row);
  [[nodiscard]] static bool read_rows(const Statement& row, Stored& stored);
  [[nodiscard]] const Stored* stored_with(std::int64_t id);
  // REQUIRES: `id` is one of its rows.
  [[nodiscard]] std::optional<KeptConflict> conflict_of(const Stored& stored, std::int64_t id);
  [[nodiscard]] KeptConflict damaged_of(const Stored& stored, std::int64_t id);
  void each(Statement& rows, std::int64_t from, const Visit& visit, const Visit& damaged);

  Statement of_id_, from_, of_journal_, later_;
  std::deque<Stored> known_;  // the last that find() has met
};

}  // namespace csa
