// The csa_ tables that master and replicas have in common (schemas/tables.sql): where a file
// stands, its histories, its log and its outcomes. Both stores write them through this, in the
// transaction of the changes they speak of. Calls throw SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/codec.h"
#include "common/message.h"
#include "common/sqlite.h"

namespace csa {

// Version of the csa_ tables; a file with a greater one was made by a newer csa.
inline constexpr std::int64_t kTablesVersion = 1;

// csa_meta, read at once.
struct Meta {
  std::int64_t tables_version = 0;
  DbId db;
  std::string app;
  std::string group;
  Position position;  // the file's content is exactly this
  Seq floor;          // oldest entry in csa_log; position.seq.next() when the log is empty
  std::uint64_t schema_version = 1;
  Id128 fingerprint;  // schema_fingerprint() at position
};

// Creates the csa_ tables. REQUIRES: a transaction is open and they do not exist.
void create_tables(const Database& db);
[[nodiscard]] bool has_tables(const Database& db);
// Result: the file lacks or contradicts itself in csa_meta (kDamaged), or is of a newer csa.
[[nodiscard]] Result<Meta> read_meta(const Database& db);
void write_meta(const Database& db, const Meta& meta);

// csa_private: values that belong to this file alone.
[[nodiscard]] std::optional<std::string> read_private(const Database& db, std::string_view key);
void write_private(const Database& db, std::string_view key, std::string_view value);
void clear_private(const Database& db);

// csa_epoch: the histories this file has been through, oldest first, the present one last.
struct EpochRecord {
  Epoch epoch;
  Position parent;  // zero for the first
  WallTime started;
};
void add_epoch(const Database& db, const EpochRecord& record);
[[nodiscard]] std::vector<EpochRecord> read_epochs(const Database& db);

// csa_layout, by schema version.
void write_layout(const Database& db, std::uint64_t schema_version, std::string_view json);
[[nodiscard]] std::optional<std::string> read_layout_json(const Database& db,
                                                          std::uint64_t version);

// csa_log. Entries beyond Meta::position.seq are parts that a replica has fetched and not applied.
class LogTable {
 public:
  explicit LogTable(const Database& db);  // must outlive this
  // Stores a piece; pieces of one entry come in order of offset. A repeated piece replaces itself.
  void append(const LogPiece& piece);
  // The piece that holds byte `offset` of entry `seq`, from that byte on, at most `max_bytes`;
  // nullopt: not in the log.
  [[nodiscard]] std::optional<LogPiece> read(Seq seq, std::uint64_t offset, std::size_t max_bytes);
  // Header and chain of an entry.
  struct Entry {
    EntryHeader header;
    Chain chain;
  };
  [[nodiscard]] std::optional<Entry> entry(Seq seq);
  // Bytes of the log's bodies and headers (kept as a running sum in memory).
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  // After a rollback: the sum as it was when the transaction began.
  void restore_bytes(std::uint64_t bytes);
  // Deletes oldest entries while there are more than `keep` bytes, at most `parts_max` parts a
  // call; returns the new floor, which may be ahead of parts that the next call deletes. Never
  // removes `head` or later.
  [[nodiscard]] Seq prune(Seq floor, Seq head, std::uint64_t keep, std::size_t parts_max);
  void erase_from(Seq seq);  // this entry and later ones
  void erase_before(Seq seq);

 private:
  [[nodiscard]] std::int64_t part_at(Seq seq, std::uint64_t offset);
  [[nodiscard]] std::uint64_t sum(std::int64_t from, std::int64_t to);
  std::uint64_t erase(std::int64_t from, std::int64_t to);

  const Database& db_;
  Statement insert_, span_, last_, body_, entry_, oldest_, sum_, erase_;
  std::uint64_t bytes_ = 0;
};

// csa_outcome: what became of each TxId.
struct Outcome {
  TxId tx;
  Id128 request_hash;
  std::variant<Ack, Nack, Replayed> answer;  // Replayed: an outcome
};
class OutcomeTable {
 public:
  explicit OutcomeTable(const Database& db);  // must outlive this
  void add(const Outcome& outcome);
  // `repeated` is set in an Ack; rows are there if they were kept, else rows_lost is set.
  [[nodiscard]] std::optional<Outcome> find(const TxId& tx);
  // Outcomes at or below this are forgotten: EXPIRED.
  [[nodiscard]] std::uint64_t floor(const NodeId& node);
  void raise_floor(const NodeId& node, std::uint64_t counter);
  [[nodiscard]] std::uint64_t last_counter(const NodeId& node);

 private:
  Statement insert_, find_, floor_, last_, raise_, forget_;
};

// The highest counter of every node that csa_outcome or its floor knows.
[[nodiscard]] std::map<NodeId, std::uint64_t> last_counters(const Database& db);

}  // namespace csa
