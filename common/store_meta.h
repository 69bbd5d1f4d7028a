// The csa_ tables that master and replicas have in common (schemas/tables.sql): where a file
// stands, its histories, its log and its outcomes. Both stores write them through this, in the
// transaction of the changes they speak of. Calls throw SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/codec.h"
#include "common/message.h"
#include "common/sqlite.h"

namespace csa {

// Version of the csa_ tables; a file with a greater one was made by a newer csa.
inline constexpr std::int64_t kTablesVersion = 2;

// Nobody ever counts so far, and csa_log has keys for twice as many.
inline constexpr std::uint64_t kSeqsMax = std::uint64_t{1} << 41U;

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
// Tables of an older csa become those of this one, csa_meta says so if it is there: whether there
// was anything to do. REQUIRES: a transaction is open.
bool upgrade_tables(const Database& db);
// Steps to a row of one of the tables with sums. Throws SQLITE_CORRUPT where it is not what was
// written; `values`: is_row_sound().
bool step_sound(Statement& rows, std::string_view table, int values);
// A sentence where a row that nothing else proves is not what was written, by its sum (row_sum.h):
// of csa_epoch, csa_layout, csa_outcome, csa_outcome_floor. Reads them whole.
[[nodiscard]] std::optional<std::string> unsound_row(const Database& db);
[[nodiscard]] bool has_tables(const Database& db);
// False: a replica that has no copy yet.
[[nodiscard]] bool has_meta(const Database& db);
// Result: the file lacks or contradicts itself in csa_meta (kDamaged), or is of a newer csa.
[[nodiscard]] Result<Meta> read_meta(const Database& db);
void write_meta(const Database& db, const Meta& meta);
// A sentence where csa_meta of a master is not what its csa_layout and csa_log say: of a wrong seq
// numbers would be given out twice, by a wrong schema_version migrations be left out or run again.
[[nodiscard]] std::optional<std::string> meta_mismatch(const Database& db, const Meta& meta);
// By csa_layout, which has every version from 1 on; where that is not whole, meta's own.
[[nodiscard]] std::uint64_t told_schema_version(const Database& db, const Meta& meta);

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
// The last that csa_epoch has, which is the present one, where a sum proves it.
[[nodiscard]] std::optional<Epoch> proved_epoch(const Database& db);

// csa_layout, by schema version.
void write_layout(const Database& db, std::uint64_t schema_version, std::string_view json);
[[nodiscard]] std::optional<std::string> read_layout_json(const Database& db,
                                                          std::uint64_t version);

// The key of an entry's first part in csa_log (schemas/tables.sql). REQUIRES seq < 2^42.
[[nodiscard]] std::int64_t first_log_part(Seq seq);

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
  // How many bytes of the entry's body are here, from its begin without a gap.
  [[nodiscard]] std::uint64_t stored(Seq seq);
  // Bytes of the log's bodies and headers. A running sum, kept in csa_meta, so that no opening of a
  // file adds up its log; one that does not belong to the log as it is (none, or written without
  // it) is not believed and the log added up once.
  [[nodiscard]] std::uint64_t bytes();
  // Puts the sum into csa_meta. Call in each transaction that has changed the log.
  void save_sum();
  // After a rollback: the sum is the stored one again.
  void forget_sum() { bytes_.reset(); }
  // Raises the floor while entries from it on are more than the log may keep (`keep` bytes in all),
  // never to `head` or beyond, and deletes what lies below it, at most `parts_max` parts a call;
  // the floor that it returns may be ahead of parts that a later call deletes. Whoever reads asks
  // the floor, so those are out of reach already.
  [[nodiscard]] Seq prune(Seq floor, Seq head, std::uint64_t keep, std::size_t parts_max);
  // There is something below `floor` to delete.
  [[nodiscard]] bool has_before(Seq floor);
  void erase_from(Seq seq);  // this entry and later ones

 private:
  [[nodiscard]] std::int64_t part_at(Seq seq, std::uint64_t offset);
  [[nodiscard]] std::uint64_t sum(std::int64_t from, std::int64_t to);
  [[nodiscard]] std::string ends();
  [[nodiscard]] std::optional<std::uint64_t> stored_sum();
  void erase(std::int64_t from, std::int64_t to);

  const Database& db_;
  Statement insert_, span_, last_, body_, entry_, oldest_, sum_, erase_, ends_;
  std::optional<std::uint64_t> bytes_;  // nothing: not asked for yet
};

// csa_outcome: what became of each TxId.
//
// Whoever has written has a row in csa_outcome_floor, at most limits::kWritersMax of them: a NodeId
// costs nothing to make up. Beyond it NodeIds are forgotten, and one number is kept for all of
// them: the highest counter that any of them had. It is the floor of every NodeId that is not
// known, so nothing of a forgotten one ever takes effect twice: a write at or below it is refused
// as EXPIRED, a journal's entry is looked for in the log, and parked where that does not tell.
// Likewise of one NodeId only the outcomes of the last limits::kOutcomesMax counters are kept.
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
  // Outcomes at or below this are forgotten: EXPIRED. Ask before find(): what is forgotten may
  // still lie there.
  [[nodiscard]] std::uint64_t floor(const NodeId& node);
  // Of a TxId without an outcome: nobody can say that it has had none. For those that others speak
  // of, an entry's first one or that of a lost transaction: the word of one copy of a replica is
  // none for the other copies. An older csa has run counters above limits::kCounterMax, too.
  [[nodiscard]] bool forgets(const TxId& tx);
  // The one rule for master and replicas: what `node` has confirmed is below its floor at once, and
  // deleted by forget(). Never lowers a floor; but where forgotten_counter() is above
  // limits::kForgottenMax, and so leaves too few numbers, this, or that limit where it is greater,
  // is the floor of a node that is not known.
  void raise_floor(const NodeId& node, std::uint64_t counter);
  // From here on it is as if `node` were not known; its outcomes are deleted by forget().
  void forget_node(const NodeId& node);
  // Whoever has an outcome here is known. Call it when a file is opened: an older csa made no such
  // rows, and forget() may not have come to its end.
  void know_all();
  // Of all nodes that were ever forgotten: see above.
  [[nodiscard]] std::uint64_t forgotten_counter();
  // Deletes at most `rows_max` outcomes below their floors; goes on where an earlier process ended.
  void forget(std::size_t rows_max);
  [[nodiscard]] bool has_forgotten();  // forget() has something to do
  // Call after a rollback.
  void rolled_back();
  // Not below floor(): the highest counter that `node` may have used; but at most
  // limits::kForgottenMax, as what is above that was made up, and the next ones must be left.
  [[nodiscard]] std::uint64_t last_counter(const NodeId& node);

 private:
  std::set<NodeId>& behind();
  [[nodiscard]] std::optional<std::uint64_t> own_floor(const NodeId& node);
  [[nodiscard]] std::uint64_t used_counter(const NodeId& node);

  const Database& db_;
  Statement insert_, find_, floor_, last_, raise_, forget_, forget_node_, keep_forgotten_;
  std::optional<std::set<NodeId>> behind_;  // with rows below their floor; nothing: not looked yet
  std::optional<std::uint64_t> forgotten_;  // as csa_meta has it; nothing: not read yet
};

// What nodes have confirmed: the floors of all that have one.
[[nodiscard]] std::map<NodeId, std::uint64_t> outcome_floors(const Database& db);

// The highest counter of every node that is known.
[[nodiscard]] std::map<NodeId, std::uint64_t> last_counters(const Database& db);

}  // namespace csa
