#include "common/apply.h"

#include <map>
#include <utility>

#include "common/apply_table.h"
#include "common/check.h"
#include "common/planted.h"

namespace csa {
namespace {

// What sqlite_sequence shall hold for a table at COMMIT. Inserts raise it by themselves, also where
// the master did not, so the wish is kept apart and written last.
struct SequenceWish {
  std::optional<Value> wanted;
};

Error schema_differs(const std::string& table) {
  return {Errc::kDamaged, "apply: table " + table +
                              " is missing or has other columns here than on the master; fetch a "
                              "new copy"};
}

}  // namespace

struct Applier::Impl {
  explicit Impl(const Database& database) : db(database) {
    db.exec("PRAGMA ignore_check_constraints = ON");
    db.exec(planted("foreign keys on at apply") ? "PRAGMA foreign_keys = ON"
                                                : "PRAGMA foreign_keys = OFF");
    const int triggers = planted("triggers on at apply") ? 1 : 0;
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, triggers, nullptr);
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
    utf16 = is_utf16(db);
  }

  AppliedTable* table(const ChangeTable& wanted);
  Status row(const RowChange& change, const std::vector<ChangeTable>& names);
  Status sequence(const SequenceChange& change);
  Status schema(const SchemaStatement& statement);
  void forget();

  SequenceWish& wish(const std::string& table);
  std::optional<Value> read_sequence(const std::string& table);
  void write_sequence(const std::string& table, const std::optional<Value>& value);
  void write_sequences();
  bool has_sequences();

  const Database& db;
  bool utf16 = false;
  std::map<std::string, AppliedTable, std::less<>> tables;
  std::map<std::string, SequenceWish, std::less<>> wishes;
  std::optional<bool> sequences_exist;
};

AppliedTable* Applier::Impl::table(const ChangeTable& wanted) {
  auto found = tables.find(wanted.name);
  if (found == tables.end()) {
    std::optional<TableInfo> info = table_info(db, wanted.name);
    if (!info || (!info->change_table.without_rowid && info->rowid_name.empty())) return nullptr;
    found = tables.try_emplace(wanted.name, db, std::move(*info), utf16).first;
  }
  const ChangeTable& here = found->second.info().change_table;
  // A journal's table also has names; the positions are what is applied by.
  const bool same = here.name == wanted.name && here.without_rowid == wanted.without_rowid &&
                    here.column_count == wanted.column_count &&
                    here.key_columns == wanted.key_columns &&
                    here.declared_key == wanted.declared_key;
  return same ? &found->second : nullptr;
}

Status Applier::Impl::row(const RowChange& change, const std::vector<ChangeTable>& names) {
  CSA_CHECK(change.table < names.size());
  const ChangeTable& name = names[change.table];
  AppliedTable* const target = table(name);
  if (target == nullptr) return schema_differs(name.name);
  switch (change.op) {
    case RowOp::kInsert:
      if (target->info().autoincrement) wish(name.name);
      return target->insert(change);
    case RowOp::kDelete:
      return target->remove(change);
    case RowOp::kUpdate:
      return target->update(change);
  }
  return Ok{};
}

bool Applier::Impl::has_sequences() {
  if (!sequences_exist) {
    sequences_exist =
        db.query_int("SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence'").has_value();
  }
  return *sequences_exist;
}

std::optional<Value> Applier::Impl::read_sequence(const std::string& name) {
  if (!has_sequences()) return std::nullopt;
  Statement statement = db.prepare("SELECT seq FROM main.sqlite_sequence WHERE name = ?1");
  statement.bind(1, std::string_view(name));
  if (!statement.step()) return std::nullopt;
  return statement.column_value(0);
}

void Applier::Impl::write_sequence(const std::string& name, const std::optional<Value>& value) {
  const auto run = [&](std::string_view sql) {
    Statement statement = db.prepare(sql);
    statement.bind(1, std::string_view(name));
    if (value) statement.bind(2, *value);
    statement.run();
  };
  if (!value) {
    run("DELETE FROM main.sqlite_sequence WHERE name = ?1");
  } else if (read_sequence(name)) {
    run("UPDATE main.sqlite_sequence SET seq = ?2 WHERE name = ?1");
  } else {
    run("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?1, ?2)");
  }
}

SequenceWish& Applier::Impl::wish(const std::string& name) {
  const auto found = wishes.find(name);
  if (found != wishes.end()) return found->second;
  return wishes.emplace(name, SequenceWish{read_sequence(name)}).first->second;
}

Status Applier::Impl::sequence(const SequenceChange& change) {
  if (planted("carry no sequence")) return Ok{};
  if (!has_sequences()) return schema_differs("sqlite_sequence");
  SequenceWish& kept = wish(change.table);
  if (kept.wanted != change.before) {
    const auto text = [](const std::optional<Value>& value) {
      return value ? describe(*value) : std::string("no row");
    };
    return Error{Errc::kDamaged, "apply: sqlite_sequence of table " + change.table + " holds " +
                                     text(kept.wanted) + ", not " + text(change.before) +
                                     "; this copy differs from the master, fetch a new one"};
  }
  kept.wanted = change.after;
  return Ok{};
}

void Applier::Impl::write_sequences() {
  for (const auto& [name, kept] : wishes) {
    if (read_sequence(name) != kept.wanted) write_sequence(name, kept.wanted);
  }
  wishes.clear();
}

void Applier::Impl::forget() {
  tables.clear();
  wishes.clear();
  sequences_exist.reset();
}

Status Applier::Impl::schema(const SchemaStatement& statement) {
  write_sequences();
  forget();
  try {
    db.exec(statement.sql);
  } catch (const SqliteError& error) {
    const int code = error.primary_code();
    if (code != SQLITE_ERROR && code != SQLITE_CONSTRAINT) throw;
    return Error{Errc::kDamaged, "apply: the schema statement \"" + statement.sql.substr(0, 200) +
                                     "\" failed here: " + error.what() + "; fetch a new copy"};
  }
  return Ok{};
}

Applier::Applier(const Database& db) : impl_(std::make_unique<Impl>(db)) {
  CSA_CHECK(!db.in_transaction());
}

Applier::~Applier() = default;

Status Applier::apply(const Change& change, const std::vector<ChangeTable>& tables) {
  if (const auto* const row = std::get_if<RowChange>(&change)) return impl_->row(*row, tables);
  if (const auto* const sequence = std::get_if<SequenceChange>(&change)) {
    return impl_->sequence(*sequence);
  }
  return impl_->schema(std::get<SchemaStatement>(change));
}

void Applier::finish() { impl_->write_sequences(); }

void Applier::discard() { impl_->forget(); }

namespace {

// A row that a two-phase apply touches: what lay there, and what shall.
struct PendingRow {
  std::uint32_t table = 0;
  Row key;
  bool was_there = false;
  std::optional<Row> now;
};

Bytes pending_key(std::uint32_t table, const Row& key) {
  Bytes bytes;
  append_varint(table, bytes);
  for (const Value& value : key) append_value(value, bytes);
  return bytes;
}

void set_values(const std::vector<std::optional<Value>>& values, Row& row) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i]) row[i] = *values[i];
  }
}

using PendingRows = std::map<Bytes, PendingRow>;

// The row with `key`, read from the table at its first touch.
PendingRow& pending(PendingRows& rows, std::uint32_t number, const Row& key, AppliedTable& table) {
  const auto [found, is_new] = rows.try_emplace(pending_key(number, key));
  PendingRow& row = found->second;
  if (is_new) {
    row.table = number;
    row.key = key;
    row.now = table.read(key);
    row.was_there = row.now.has_value();
  }
  return row;
}

Status add_pending(PendingRows& rows, const RowChange& change, AppliedTable& table) {
  PendingRow& before = pending(rows, change.table, change.key, table);
  if (change.op == RowOp::kInsert) {
    if (before.now) return table.damage(change.key, "the row is there already");
    before.now = Row(table.info().carried.size(), Null{});
    set_values(change.new_values, *before.now);
    return Ok{};
  }
  if (!before.now) return table.damage(change.key, "the row is missing");
  const std::string difference = table.difference(change, *before.now);
  if (!difference.empty()) return table.damage(change.key, difference);
  if (change.op == RowOp::kDelete) {
    before.now.reset();
    return Ok{};
  }
  Row row = *std::exchange(before.now, std::nullopt);
  set_values(change.new_values, row);
  const Row& key = change.new_key ? *change.new_key : change.key;
  PendingRow& after = pending(rows, change.table, key, table);
  if (after.now) return table.damage(key, "the row is there already");
  after.now = std::move(row);
  return Ok{};
}

}  // namespace

Status Applier::apply_two_phase(const std::vector<Change>& changes,
                                const std::vector<ChangeTable>& tables) {
  PendingRows rows;
  for (const Change& change : changes) {
    const auto* const row = std::get_if<RowChange>(&change);
    if (row == nullptr) continue;
    CSA_CHECK(row->table < tables.size());
    AppliedTable* const table = impl_->table(tables[row->table]);
    if (table == nullptr) return schema_differs(tables[row->table].name);
    CSA_TRY(add_pending(rows, *row, *table));
  }
  for (const auto& [bytes, row] : rows) {
    if (!row.was_there) continue;
    AppliedTable* const table = impl_->table(tables[row.table]);
    if (!table->remove_key(row.key)) return table->damage(row.key, "the row cannot be deleted");
  }
  for (auto& [bytes, row] : rows) {
    if (!row.now) continue;
    RowChange insert;
    insert.table = row.table;
    insert.key = row.key;
    insert.new_values.assign(row.now->begin(), row.now->end());
    CSA_TRY(impl_->row(insert, tables));
  }
  for (const Change& change : changes) {
    CSA_CHECK(!std::holds_alternative<SchemaStatement>(change));
    if (const auto* const sequence = std::get_if<SequenceChange>(&change)) {
      CSA_TRY(impl_->sequence(*sequence));
    }
  }
  return Ok{};
}

}  // namespace csa
