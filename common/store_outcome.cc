// OutcomeTable: rows of csa_outcome and csa_outcome_floor.
#include <algorithm>
#include <limits>

#include "common/limits.h"
#include "common/store_meta.h"

namespace csa {
namespace {

// Rows of an outcome beyond this are not kept for a repeat: a RETURNING of a few thousand rows
// would otherwise stay in the database until its node confirms it.
constexpr std::size_t kKeptRowsMax = 64 * limits::kKiB;

// Columns of csa_outcome, and how many are in front of the sum.
enum OutcomeColumn : int {
  kHash = 2,
  kSeq,
  kChanges,
  kLastRowid,
  kSchemaVersion,
  kCode,
  kStatement,
  kMessage,
  kRows,
  kReplay,
  kOutcomeValues
};

Ack ack_of(const Statement& row, const TxId& tx) {
  Ack ack;
  ack.tx = tx;
  ack.seq = Seq{unsigned_of(row.column_int(kSeq))};
  ack.changes = row.column_int(kChanges);
  if (!row.column_is_null(kLastRowid)) ack.last_insert_rowid = row.column_int(kLastRowid);
  ack.schema_version = unsigned_of(row.column_int(kSchemaVersion));
  ack.repeated = true;
  if (row.column_is_null(kRows)) return ack;
  Result<RowSet> rows = decode_rows(row.column_blob(kRows));
  if (!rows) {
    ack.rows_lost = true;
    return ack;
  }
  ack.columns = std::move(rows->columns);
  ack.rows = std::move(rows->rows);
  return ack;
}

Replayed replayed_of(const Statement& row, const TxId& tx) {
  Replayed replayed;
  replayed.tx = tx;
  replayed.result = static_cast<ReplayResult>(row.column_int(kReplay));
  replayed.seq = Seq{unsigned_of(row.column_int(kSeq))};
  replayed.text = row.column_text(kMessage);
  if (row.column_is_null(kRows)) return replayed;
  Result<std::vector<KeyChange>> keys = decode_keys(row.column_blob(kRows));
  if (keys) replayed.keys = std::move(*keys);
  return replayed;
}

Nack nack_of(const Statement& row, const TxId& tx) {
  Nack nack;
  nack.tx = tx;
  nack.code = static_cast<NackCode>(row.column_int(kCode));
  nack.statement = static_cast<std::uint32_t>(row.column_int(kStatement));
  nack.message = row.column_text(kMessage);
  return nack;
}

std::optional<NodeId> node_of(const Bytes& bytes) {
  Id128 id;
  if (bytes.size() != id.bytes.size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return NodeId{id};
}

std::map<NodeId, std::uint64_t> read_counters(const Database& db, const std::string& sql) {
  Statement rows = db.prepare(sql);
  std::map<NodeId, std::uint64_t> counters;
  while (rows.step()) {
    if (const std::optional<NodeId> node = node_of(rows.column_blob(0))) {
      counters[*node] = unsigned_of(rows.column_int(1));
    }
  }
  return counters;
}

}  // namespace

OutcomeTable::OutcomeTable(const Database& db)
    : db_(db),
      insert_(db,
              "INSERT OR REPLACE INTO csa_outcome (node, counter, request_hash, seq, changes,"
              " last_insert_rowid, schema_version, code, statement, message, rows, replay, sum)"
              " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"
              " csa_sum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12))"),
      find_(db, "SELECT * FROM csa_outcome WHERE node = ?1 AND counter = ?2"),
      floor_(db, "SELECT * FROM csa_outcome_floor WHERE node = ?1"),
      last_(db, "SELECT * FROM csa_outcome WHERE node = ?1 ORDER BY counter DESC LIMIT 1"),
      raise_(db, "INSERT OR REPLACE INTO csa_outcome_floor VALUES (?1, ?2, csa_sum(?1, ?2))"),
      forget_(db,
              "DELETE FROM csa_outcome WHERE node = ?1 AND counter IN (SELECT counter"
              " FROM csa_outcome WHERE node = ?1 AND counter <= ?2 ORDER BY counter LIMIT ?3)"),
      forget_node_(db, "DELETE FROM csa_outcome_floor WHERE node = ?1"),
      keep_forgotten_(db, "INSERT OR REPLACE INTO csa_meta VALUES ('forgotten_counter', ?1)") {}

void OutcomeTable::add(const Outcome& outcome) {
  const NodeId& node = outcome.tx.node;
  if (!own_floor(node)) {
    raise_.bind_blob(1, node.value.bytes).bind(2, signed_of(forgotten_counter()));
    raise_.run();
  }
  const std::uint64_t counter = outcome.tx.counter;
  if (counter > limits::kOutcomesMax) raise_floor(node, counter - limits::kOutcomesMax);
  insert_.bind_blob(1, outcome.tx.node.value.bytes)
      .bind(2, signed_of(outcome.tx.counter))
      .bind_blob(3, outcome.request_hash.bytes);
  if (const auto* const ack = std::get_if<Ack>(&outcome.answer)) {
    insert_.bind(4, signed_of(ack->seq.value)).bind(5, ack->changes);
    if (ack->last_insert_rowid) {
      insert_.bind(6, *ack->last_insert_rowid);
    } else {
      insert_.bind_null(6);
    }
    insert_.bind(7, signed_of(ack->schema_version)).bind(8, std::int64_t{0});
    insert_.bind(9, std::int64_t{0}).bind_null(10);
    if (ack->columns.empty()) {
      insert_.bind_null(11);
    } else {
      const Bytes rows = encode_rows({ack->columns, ack->rows});
      insert_.bind_blob(11, rows.size() <= kKeptRowsMax ? ByteView(rows) : ByteView());
    }
    insert_.bind(12, std::int64_t{0});
  } else if (const auto* const replayed = std::get_if<Replayed>(&outcome.answer)) {
    insert_.bind(4, signed_of(replayed->seq.value)).bind(5, std::int64_t{0}).bind_null(6);
    insert_.bind(7, std::int64_t{0}).bind(8, std::int64_t{0}).bind(9, std::int64_t{0});
    insert_.bind(10, replayed->text);
    if (replayed->keys.empty()) {
      insert_.bind_null(11);
    } else {
      insert_.bind_blob(11, encode_keys(replayed->keys));
    }
    insert_.bind(12, static_cast<std::int64_t>(replayed->result));
  } else {
    const Nack& nack = std::get<Nack>(outcome.answer);
    insert_.bind(12, std::int64_t{0});
    insert_.bind(4, std::int64_t{0}).bind(5, std::int64_t{0}).bind_null(6);
    insert_.bind(7, std::int64_t{0}).bind(8, static_cast<std::int64_t>(nack.code));
    insert_.bind(9, static_cast<std::int64_t>(nack.statement)).bind(10, nack.message);
    insert_.bind_null(11);
  }
  insert_.run();
}

std::optional<Outcome> OutcomeTable::find(const TxId& tx) {
  find_.bind_blob(1, tx.node.value.bytes).bind(2, signed_of(tx.counter));
  std::optional<Outcome> outcome;
  if (step_sound(find_, "csa_outcome", kOutcomeValues)) {
    outcome.emplace();
    outcome->tx = tx;
    const Bytes hash = find_.column_blob(kHash);
    Id128& kept = outcome->request_hash;
    std::copy_n(hash.begin(), std::min(hash.size(), kept.bytes.size()), kept.bytes.begin());
    if (find_.column_int(kReplay) != 0) {
      outcome->answer = replayed_of(find_, tx);
    } else if (find_.column_int(kCode) == 0) {
      outcome->answer = ack_of(find_, tx);
    } else {
      outcome->answer = nack_of(find_, tx);
    }
  }
  find_.reset();
  return outcome;
}

std::optional<std::uint64_t> OutcomeTable::own_floor(const NodeId& node) {
  floor_.bind_blob(1, node.value.bytes);
  std::optional<std::uint64_t> counter;
  if (step_sound(floor_, "csa_outcome_floor", 2)) counter = unsigned_of(floor_.column_int(1));
  floor_.reset();
  return counter;
}

std::uint64_t OutcomeTable::floor(const NodeId& node) {
  const std::optional<std::uint64_t> own = own_floor(node);
  return own ? *own : forgotten_counter();
}

std::uint64_t OutcomeTable::forgotten_counter() {
  if (!forgotten_) {
    const std::uint64_t stored = unsigned_of(
        db_.query_int("SELECT value FROM csa_meta WHERE key = 'forgotten_counter'").value_or(0));
    forgotten_ = std::min(stored, limits::kCounterMax);  // an older csa took any counter
  }
  return *forgotten_;
}

bool OutcomeTable::forgets(const TxId& tx) {
  const std::uint64_t all = forgotten_counter() > limits::kForgottenMax ? forgotten_counter() : 0;
  return tx.counter > limits::kCounterMax || tx.counter <= std::max(floor(tx.node), all);
}

void OutcomeTable::raise_floor(const NodeId& node, std::uint64_t counter) {
  const std::optional<std::uint64_t> own = own_floor(node);
  if (!own && forgotten_counter() > limits::kForgottenMax) {
    counter = std::max(counter, limits::kForgottenMax);
  } else if (counter <= own.value_or(forgotten_counter())) {
    return;
  }
  raise_.bind_blob(1, node.value.bytes).bind(2, signed_of(counter));
  raise_.run();
  if (behind_) behind_->insert(node);
}

void OutcomeTable::forget_node(const NodeId& node) {
  const std::uint64_t last = std::min(used_counter(node), limits::kCounterMax);
  forget_node_.bind_blob(1, node.value.bytes);
  forget_node_.run();
  if (last > forgotten_counter()) {
    keep_forgotten_.bind(1, signed_of(last));
    keep_forgotten_.run();
    forgotten_ = last;
  }
  behind().insert(node);  // no floor of its own tells of it
}

void OutcomeTable::know_all() {
  db_.prepare(
         "WITH RECURSIVE n(node) AS (SELECT min(node) FROM csa_outcome UNION ALL SELECT"
         " (SELECT min(node) FROM csa_outcome WHERE node > n.node) FROM n WHERE node NOT NULL)"
         " INSERT OR IGNORE INTO csa_outcome_floor SELECT node, ?1, csa_sum(node, ?1) FROM n"
         " WHERE node NOT NULL")
      .bind(1, signed_of(forgotten_counter()))
      .run();
}

void OutcomeTable::rolled_back() {
  behind_.reset();
  forgotten_.reset();
}

std::set<NodeId>& OutcomeTable::behind() {
  if (behind_) return *behind_;
  behind_.emplace();
  Statement rows = db_.prepare(
      "SELECT node FROM csa_outcome_floor AS f WHERE EXISTS (SELECT 1 FROM csa_outcome AS o"
      " WHERE o.node = f.node AND o.counter <= f.counter)");
  while (rows.step()) {
    if (const std::optional<NodeId> node = node_of(rows.column_blob(0))) behind_->insert(*node);
  }
  return *behind_;
}

bool OutcomeTable::has_forgotten() { return !behind().empty(); }

void OutcomeTable::forget(std::size_t rows_max) {
  auto room = static_cast<std::int64_t>(rows_max);
  std::set<NodeId>& nodes = behind();
  while (!nodes.empty() && room > 0) {
    const NodeId node = *nodes.begin();
    // Of who is not known nothing stays, whatever an older csa has let it count to.
    const std::optional<std::uint64_t> own = own_floor(node);
    const std::int64_t to = own ? signed_of(*own) : std::numeric_limits<std::int64_t>::max();
    forget_.bind_blob(1, node.value.bytes).bind(2, to).bind(3, room);
    forget_.run();
    room -= sqlite3_changes64(db_.handle());
    if (room > 0) nodes.erase(nodes.begin());
  }
}

std::uint64_t OutcomeTable::last_counter(const NodeId& node) {
  return std::min(used_counter(node), limits::kForgottenMax);
}

std::uint64_t OutcomeTable::used_counter(const NodeId& node) {
  last_.bind_blob(1, node.value.bytes);
  const bool any = step_sound(last_, "csa_outcome", kOutcomeValues);
  const std::uint64_t counter = any ? unsigned_of(last_.column_int(1)) : 0;
  last_.reset();
  return std::max(counter, floor(node));
}

std::map<NodeId, std::uint64_t> last_counters(const Database& db) {
  return read_counters(db,
                       "SELECT node, max(iif(counter < 0, ~(1 << 63), counter)) FROM"
                       " (SELECT node, counter FROM csa_outcome"
                       " UNION ALL SELECT node, counter FROM csa_outcome_floor) GROUP BY node");
}

std::map<NodeId, std::uint64_t> outcome_floors(const Database& db) {
  return read_counters(db, "SELECT node, counter FROM csa_outcome_floor");
}

}  // namespace csa
