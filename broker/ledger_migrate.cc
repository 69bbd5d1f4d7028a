#include "broker/ledger_migrate.h"

#include <string>
#include <system_error>
#include <vector>

#include "common/counted.h"
#include "common/schema.h"

namespace csa {

std::variant<CallEffect, Rejection> Migration::run(const Migrate& migrate) {
  Failure failure;
  try {
    failure = run_all(migrate);
  } catch (const SqliteError& error) {
    if (sandbox_.refusal().empty()) {
      failure = statement_rejection(error, capture_, limits_, index_);
    } else {
      failure = Rejection{NackCode::kForbidden, sandbox_.refusal(), index_, true};
    }
  } catch (const std::system_error& error) {
    failure = rejection_of(error, index_);
  }
  if (failure) return std::move(*failure);
  return std::move(effect_);
}

Migration::Failure Migration::run_all(const Migrate& migrate) {
  const std::optional<std::int64_t> violations = count_violations();
  std::string_view sql = migrate.sql;
  while (true) {
    // Full-text tables write what they kept back at a savepoint: it must not count as the doing of
    // the schema statement that follows.
    db_.exec("SAVEPOINT s");
    capture_.begin_statement();
    Statement statement = sandbox_.prepare(sql, Sandbox::Mode::kMigration);
    if (!statement) break;
    if (Failure failure = run_one(statement)) return failure;
    statement = Statement();
    db_.exec("RELEASE s");
    if (Failure failure = capture_rejection(capture_, limits_, index_)) return failure;
    if (sandbox_.past_deadline()) {
      return rejection_of(SqliteError(SQLITE_INTERRUPT, "interrupted"), index_);
    }
    ++index_;
  }
  db_.exec("RELEASE s");
  if (index_ == 0) return reject("the migration holds no SQL statement");
  --index_;
  if (Failure failure = prove_shareable()) return failure;
  if (Failure failure = prove_foreign_keys(violations)) return failure;
  settle_rules();
  settle_remaps();
  rebuilt_.tell();
  capture_.begin_statement();
  if (const Renames told = renames(); !told.empty()) {
    capture_.schema_statement(renames_remark(told), true);
  }
  capture_.schema_statement(std::string(kFingerprintRemark) + to_string(schema_fingerprint(db_)),
                            true);
  return std::nullopt;
}

Migration::Failure Migration::run_one(Statement& statement) {
  const Sandbox::Seen seen = sandbox_.seen();
  if (sqlite3_bind_parameter_count(statement.handle()) > 0) {
    return reject("a migration has no parameters; write the values into its statements");
  }
  const std::int64_t before = db_.query_int("PRAGMA main.schema_version").value_or(0);
  int code = SQLITE_OK;
  while ((code = statement.try_step()) == SQLITE_ROW) {
  }
  if (code != SQLITE_DONE) throw SqliteError(code, sqlite3_errmsg(db_.handle()));
  if (seen.rows && !seen.schema) effect_.changes += sqlite3_changes64(db_.handle());
  const std::string sql = sqlite3_sql(statement.handle());
  sqlite3_reset(statement.handle());
  // CREATE ... IF NOT EXISTS of something that is there has done nothing.
  const bool happened =
      seen.file_number || before != db_.query_int("PRAGMA main.schema_version").value_or(0);
  if (seen.schema && happened) {
    record(seen, sql);
    names_.look();
    rules_.look();
    rebuilt_.look();
  }
  return std::nullopt;
}

// Their rows travel in the migration's own entry: on no copy are they ever those of another schema.
void Migration::settle_rules() {
  std::size_t bytes = 0;
  for (std::string& sentence : rules_.settle()) {
    bytes += 16 + sentence.size();
    if (bytes > limits_.rows_max) break;
    effect_.columns = {"rule"};
    effect_.rows.push_back({Text{std::move(sentence)}});
  }
}

// The references that a journal's later entries hold lead to the table under its present name.
void Migration::settle_remaps() {
  const FollowedNames::Names& tables = names_.tables();
  std::vector<std::string> moved;
  for (const auto& [name, was] : names_.renames()) {
    if (was.table.empty()) continue;
    // A table that is made in its place has the journal's rows from here on.
    const std::optional<std::int64_t> other = tables.find(was.table);
    if (other && !tables.is_old(*other)) continue;
    Statement away = db_.prepare(
        "UPDATE main.csa_remap SET table_name = 'csa_moved ' || ?1 WHERE table_name = ?2 COLLATE"
        " NOCASE");
    away.bind(1, name).bind(2, was.table).run();
    moved.push_back(name);
  }
  // Not before all are away: two may have exchanged their names.
  for (const std::string& name : moved) {
    Statement drop = db_.prepare(
        "DELETE FROM main.csa_remap WHERE table_name = ?1 AND (node, journal) IN (SELECT node,"
        " journal FROM main.csa_remap WHERE table_name = 'csa_moved ' || ?1)");
    drop.bind(1, name).run();
    Statement here = db_.prepare(
        "UPDATE main.csa_remap SET table_name = ?1 WHERE table_name = 'csa_moved ' || ?1");
    here.bind(1, name).run();
  }
}

void Migration::record(const Sandbox::Seen& seen, const std::string& sql) {
  if (seen.created_table.empty() || !seen.select || seen.virtual_table) {
    // A virtual table's module fills its shadow tables again on every copy.
    capture_.schema_statement(sql, !seen.virtual_table);
    return;
  }
  // CREATE TABLE ... AS SELECT: the table as it is, then the rows; a SELECT need not give the same
  // rows in the same order twice.
  Statement created = db_.prepare(
      "SELECT name, sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE");
  created.bind(1, seen.created_table);
  if (!created.step()) throw SqliteError(SQLITE_ERROR, "the new table is not in the schema");
  const std::string name = created.column_text(0);
  const std::string plain = created.column_text(1);
  created.reset();
  capture_.schema_statement(plain, true);
  capture_.capture_whole_table(name);
}

Migration::Failure Migration::prove_shareable() {
  const std::vector<Unshareable> found = find_unshareable(db_, Probe::kSchema);
  if (found.empty()) return std::nullopt;
  const Unshareable& first = found.front();
  return reject("after the migration " + first.object + " could not be shared: " + first.reason +
                "; " + first.way_out + ". Nothing was changed");
}

// nullopt: SQLite cannot check (a foreign key that fits no key).
std::optional<std::int64_t> Migration::count_violations() const {
  try {
    Statement check = db_.prepare("PRAGMA foreign_key_check");
    std::int64_t count = 0;
    while (check.step()) ++count;
    return count;
  } catch (const SqliteError& error) {
    if (error.primary_code() != SQLITE_ERROR) throw;
    return std::nullopt;
  }
}

Migration::Failure Migration::prove_foreign_keys(std::optional<std::int64_t> before) {
  const std::optional<std::int64_t> after = count_violations();
  if (!before || (after && *after <= *before)) return std::nullopt;
  if (!after) {
    return reject(
        "after the migration a foreign key would name columns that are no key of their"
        " table; nothing was changed");
  }
  Statement check = db_.prepare("PRAGMA foreign_key_check");
  std::string where;
  if (check.step()) where = check.column_text(0) + " (parent " + check.column_text(2) + ")";
  check.reset();
  return Rejection{NackCode::kConstraint,
                   "after the migration " + counted(*after, "row", "rows") +
                       " would break a foreign key, the first in table " + where +
                       "; nothing was changed",
                   index_, true};
}

}  // namespace csa
