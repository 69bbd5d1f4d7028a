#include "broker/merge_inbox.h"

#include <utility>

namespace csa {
namespace {

const Row* told_row(const std::optional<Row>& row) { return row ? &*row : nullptr; }

// Not copied: it must stay until the statement has run.
void bind_told(Statement& statement, int position, std::optional<std::string_view> text) {
  if (!text) return (void)statement.bind_null(position);
  const int code = sqlite3_bind_text64(statement.handle(), position, text->data(), text->size(),
                                       SQLITE_STATIC, SQLITE_UTF8);
  if (code != SQLITE_OK) throw_sqlite(sqlite3_db_handle(statement.handle()), code, "bind");
}

}  // namespace

std::string wall_text(WallTime time, const ConflictOrigin& origin) {
  return to_string(WallTime{time.ms + origin.wall_ahead_ms});
}

Inbox::Inbox(const Database& db)
    : insert_(db,
              "INSERT INTO csa_conflicts (seq, time, node, counter, journal, hostname, table_name,"
              " key, key_hash, op, rule, decision, reason, base, broker, node_row, rows,"
              " broker_time, node_time, close, bundle, numbered, state) VALUES (?1, ?2, ?3, ?4,"
              " ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,"
              " ?22, 'open')"),
      same_(db,
            "SELECT id, rows, base, broker, node_row FROM csa_conflicts WHERE node = ?1 AND"
            " journal = ?2 AND key_hash = ?3 AND decision = ?4 AND rule = ?5 AND state = 'open'"
            " ORDER BY id DESC LIMIT 1"),
      update_(db,
              "UPDATE csa_conflicts SET seq = ?2, time = ?3, counter = ?4, op = CASE WHEN base IS"
              " NULL AND ?7 IS NOT NULL THEN 'insert' ELSE ?5 END, reason = CASE decision WHEN"
              " 'parked' THEN reason ELSE ?6 END, node_row = ?7, rows = ?8, node_time = ?9,"
              " close = max(close, ?10)"
              " WHERE id = ?1"),
      held_(db,
            "SELECT bundle FROM csa_conflicts WHERE node = ?1 AND journal = ?2 AND key_hash = ?3"
            " AND (decision = 'parked' OR rule = 'atomic') AND state <> 'restored' LIMIT 1"),
      any_(db, "SELECT 1 FROM csa_conflicts WHERE node = ?1 AND journal = ?2 LIMIT 1"),
      join_(db,
            "UPDATE csa_conflicts SET bundle = ?4 WHERE node = ?1 AND journal = ?2 AND bundle ="
            " ?3") {}

std::optional<std::uint64_t> Inbox::bundle_of(const NodeId& node, std::uint64_t journal,
                                              const Id128& row) {
  held_.bind_blob(1, node.value.bytes).bind(2, signed_of(journal)).bind_blob(3, row.bytes);
  std::optional<std::uint64_t> bundle;
  if (held_.step()) bundle = static_cast<std::uint64_t>(held_.column_int(0));
  held_.reset();
  return bundle;
}

bool Inbox::knows(const NodeId& node, std::uint64_t journal) {
  any_.bind_blob(1, node.value.bytes).bind(2, signed_of(journal));
  const bool found = any_.step();
  any_.reset();
  return found;
}

void Inbox::join(const NodeId& node, std::uint64_t journal, std::uint64_t from, std::uint64_t to) {
  join_.bind_blob(1, node.value.bytes).bind(2, signed_of(journal));
  join_.bind(3, signed_of(from)).bind(4, signed_of(to));
  join_.run();
}

const std::string& Inbox::TimeText::of(WallTime time, const ConflictOrigin& origin) {
  const std::int64_t wall = time.ms + origin.wall_ahead_ms;
  if (std::exchange(ms_, wall) != wall) text_ = to_string(WallTime{wall});
  return text_;
}

// What the node did to a row that is here already replaces its version of before. A version of the
// master that it overwrites is always one more that is lost.
bool Inbox::replace(const ConflictRow& row, const Id128& hash, const ConflictOrigin& origin) {
  if (row.decision == "node") return false;
  same_.bind_blob(1, origin.tx.node.value.bytes).bind(2, signed_of(origin.journal));
  same_.bind_blob(3, hash.bytes).bind(4, row.decision).bind(5, row.rule);
  std::optional<std::int64_t> id;
  std::optional<RowSet> known;
  if (same_.step()) {
    id = same_.column_int(0);
    known = read_versions(stored_versions(same_, 1));
  }
  same_.reset();
  // Of other columns, or unreadable: it stays beside it.
  if (!known || known->columns != row.columns) return false;
  const auto before = [&known](std::size_t i) {
    return known->rows[i].empty() ? nullptr : &known->rows[i];
  };
  rows_.set(row.columns, {before(0), before(1), told_row(row.node)});
  update_.bind(1, *id).bind(2, signed_of(origin.seq.value));
  bind_told(update_, 3, decided_.of(origin.now, origin));
  update_.bind(4, signed_of(origin.tx.counter));
  bind_told(update_, 5, row.op);
  bind_told(update_, 6, row.reason);
  bind_told(update_, 7, rows_.text(2));
  update_.bind_blob(8, rows_.exact());
  bind_told(update_, 9, edited_.of(origin.edited, origin));
  update_.bind(10, std::int64_t{row.close ? 1 : 0});
  update_.run();
  return true;
}

void Inbox::add(const ConflictRow& row, const ConflictOrigin& origin) {
  const Id128 hash = hash_of(row.identity);
  if (replace(row, hash, origin)) return;
  rows_.set(row.columns, {told_row(row.base), told_row(row.broker), told_row(row.node)});
  key_.set(row.key_columns, {&row.identity.key, nullptr, nullptr});
  insert_.bind(1, signed_of(origin.seq.value));
  bind_told(insert_, 2, decided_.of(origin.now, origin));
  insert_.bind_blob(3, origin.tx.node.value.bytes).bind(4, signed_of(origin.tx.counter));
  insert_.bind(5, signed_of(origin.journal));
  bind_told(insert_, 6, origin.hostname);
  bind_told(insert_, 7, row.identity.table);
  bind_told(insert_, 8, key_.text(0));
  insert_.bind_blob(9, hash.bytes);
  bind_told(insert_, 10, row.op);
  bind_told(insert_, 11, row.rule);
  bind_told(insert_, 12, row.decision);
  bind_told(insert_, 13, row.reason);
  for (int i = 0; i < 3; ++i) {
    bind_told(insert_, 14 + i, rows_.text(static_cast<std::size_t>(i)));
  }
  insert_.bind_blob(17, rows_.exact());
  if (row.broker_edit && row.broker_edit->time.ms != 0) {
    bind_told(insert_, 18, broker_edited_.of(row.broker_edit->time, origin));
  } else {
    insert_.bind_null(18);
  }
  bind_told(insert_, 19, edited_.of(origin.edited, origin));
  insert_.bind(20, std::int64_t{row.close ? 1 : 0});
  insert_.bind(21, signed_of(origin.bundle != 0 ? origin.bundle : origin.tx.counter));
  insert_.bind(22, std::int64_t{row.numbered ? 1 : 0});
  insert_.run();
}

}  // namespace csa
