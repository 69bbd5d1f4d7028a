#include "broker/merge_inbox.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/codec.h"
#include "common/value_json.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

std::string json_by_library(const std::vector<std::string>& columns, const Row& row) {
  Json object = Json::object();
  for (std::size_t i = 0; i < columns.size() && i < row.size(); ++i) {
    object[columns[i]] = value_json(row[i]);
  }
  return to_line(object);
}

// Most texts are themselves between quotes.
void append_json(const std::string& text, std::string& out) {
  const bool plain = std::ranges::all_of(
      text, [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
  if (!plain) return (void)out.append(to_line(Json(text)));
  out += '"';
  out += text;
  out += '"';
}

// An object by column name.
std::string row_json(const std::vector<std::string>& columns, const Row& row) {
  std::string out = "{";
  for (std::size_t i = 0; i < columns.size() && i < row.size(); ++i) {
    // Of a journal that names two columns alike the later value is told.
    const auto here = columns.begin() + static_cast<std::ptrdiff_t>(i);
    if (std::find(columns.begin(), here, *here) != here) return json_by_library(columns, row);
    if (i > 0) out += ',';
    append_json(columns[i], out);
    out += ':';
    const Value& value = row[i];
    if (const auto* const text = std::get_if<Text>(&value)) {
      append_json(text->utf8, out);
    } else if (const auto* const number = std::get_if<std::int64_t>(&value)) {
      out += std::to_string(*number);
    } else {
      out += to_line(value_json(value));
    }
  }
  return out + '}';
}

void bind_row(Statement& statement, int position, const std::vector<std::string>& columns,
              const std::optional<Row>& row) {
  if (row) {
    statement.bind(position, row_json(columns, *row));
  } else {
    statement.bind_null(position);
  }
}

// The three versions exactly; a row that is not there has no values.
Bytes exact(const ConflictRow& row) {
  RowSet set{row.columns, {}};
  for (const std::optional<Row>* const version : {&row.base, &row.broker, &row.node}) {
    set.rows.push_back(version->value_or(Row{}));
  }
  return encode_rows(set);
}

// The same with the node's latest version; nothing: what is known is of other columns, or
// unreadable, and stays beside it.
std::optional<Bytes> with_latest(const ConflictRow& row, const Bytes& before) {
  Result<RowSet> known = decode_rows(before);
  if (!known || known->rows.size() != 3 || known->columns != row.columns) return std::nullopt;
  known->rows[2] = row.node.value_or(Row{});
  return encode_rows(*known);
}

}  // namespace

std::string wall_text(WallTime time, const ConflictOrigin& origin) {
  return to_string(WallTime{time.ms + origin.wall_ahead_ms});
}

Inbox::Inbox(const Database& db)
    : insert_(db,
              "INSERT INTO csa_conflicts (seq, time, node, counter, journal, hostname, table_name,"
              " key, key_hash, op, rule, decision, reason, base, broker, node_row, rows,"
              " broker_time, node_time, close, bundle, numbered, state) VALUES (?1, ?2, ?3, ?4, "
              "?5, ?6, ?7, ?8, ?9,"
              " ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, 'open')"),
      same_(db,
            "SELECT id, rows FROM csa_conflicts WHERE node = ?1 AND journal = ?2 AND key_hash = ?3 "
            "AND"
            " decision = ?4 AND rule = ?5 AND state = 'open' ORDER BY id DESC LIMIT 1"),
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

void Inbox::add(const ConflictRow& row, const ConflictOrigin& origin) {
  const Id128 hash = hash_of(row.identity);
  same_.bind_blob(1, origin.tx.node.value.bytes).bind(2, signed_of(origin.journal));
  same_.bind_blob(3, hash.bytes).bind(4, row.decision).bind(5, row.rule);
  // What the node did to a row that is here already replaces its version of before. A version of
  // the master that it overwrites is always one more that is lost.
  std::optional<std::int64_t> known;
  std::optional<Bytes> versions;
  if (row.decision != "node" && same_.step()) {
    known = same_.column_int(0);
    versions = with_latest(row, same_.column_blob(1));
  }
  same_.reset();
  if (known && versions) {
    update_.bind(1, *known)
        .bind(2, signed_of(origin.seq.value))
        .bind(3, wall_text(origin.now, origin));
    update_.bind(4, signed_of(origin.tx.counter)).bind(5, row.op).bind(6, row.reason);
    bind_row(update_, 7, row.columns, row.node);
    update_.bind_blob(8, *versions).bind(9, wall_text(origin.edited, origin));
    update_.bind(10, std::int64_t{row.close ? 1 : 0});
    update_.run();
    return;
  }
  insert_.bind(1, signed_of(origin.seq.value)).bind(2, wall_text(origin.now, origin));
  insert_.bind_blob(3, origin.tx.node.value.bytes).bind(4, signed_of(origin.tx.counter));
  insert_.bind(5, signed_of(origin.journal)).bind(6, origin.hostname);
  insert_.bind(7, row.identity.table).bind(8, row_json(row.key_columns, row.identity.key));
  insert_.bind_blob(9, hash.bytes).bind(10, row.op).bind(11, row.rule).bind(12, row.decision);
  insert_.bind(13, row.reason);
  bind_row(insert_, 14, row.columns, row.base);
  bind_row(insert_, 15, row.columns, row.broker);
  bind_row(insert_, 16, row.columns, row.node);
  insert_.bind_blob(17, exact(row));
  if (row.broker_edit && row.broker_edit->time.ms != 0) {
    insert_.bind(18, wall_text(row.broker_edit->time, origin));
  } else {
    insert_.bind_null(18);
  }
  insert_.bind(19, wall_text(origin.edited, origin)).bind(20, std::int64_t{row.close ? 1 : 0});
  insert_.bind(21, signed_of(origin.bundle != 0 ? origin.bundle : origin.tx.counter));
  insert_.bind(22, std::int64_t{row.numbered ? 1 : 0});
  insert_.run();
}

}  // namespace csa
