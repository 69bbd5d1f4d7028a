// New shared databases: from schema files, and from a file that is there.
#include <algorithm>

#include "broker/ledger_rules.h"
#include "broker/opening.h"
#include "broker/opening_files.h"
#include "common/wal_base.h"

namespace csa {
namespace {

// csa's tables and the first history. REQUIRES: a transaction is open.
Meta begin_sharing(const Database& db, const DatabaseName& name, const Randomness& from) {
  Meta meta;
  meta.tables_version = kTablesVersion;
  meta.db = DbId{from.random_id()};
  meta.app = name.app;
  meta.group = name.group;
  meta.position.epoch = Epoch{1, from.random_id()};
  meta.floor = meta.position.seq.next();
  meta.schema_version = 1;
  meta.fingerprint = schema_fingerprint(db);
  create_tables(db);
  write_meta(db, meta);
  set_commits(db, 1);
  add_epoch(db, {meta.position.epoch, {}, from.local_now().wall});
  write_layout(db, meta.schema_version, to_json(read_layout(db)));
  write_private(db, kRoleKey, kRoleBroker);
  return meta;
}

// REQUIRES: a transaction is open, csa's tables are there.
Status apply_rules(const Database& db, const RulesFile& rules) {
  Rules request;
  for (const RuleLine& line : rules.lines) request.rules.push_back(line.setting);
  const auto done = set_rules(db, request);
  const auto* const rejection = std::get_if<Rejection>(&done);
  if (rejection == nullptr) return Ok{};
  std::string where = rules.file;
  if (rejection->statement < rules.lines.size()) {
    where += ", line " + std::to_string(rules.lines[rejection->statement].line);
  }
  return Error{Errc::kFailed, where + ": " + rejection->message};
}

std::string sentence_of(const std::vector<Unshareable>& list) {
  std::string text;
  for (const Unshareable& one : list) {
    text += "\n  " + one.object + ": " + one.reason + ". Way out: " + one.way_out;
  }
  return text;
}

// The site is thrown away if anything fails, so nothing here needs to be one transaction: a dump
// with its own BEGIN and COMMIT runs as it is.
Status run_schemas(const Database& db, const std::vector<std::string>& schemas) {
  for (std::size_t i = 0; i < schemas.size(); ++i) {
    const std::string which = "schema file " + std::to_string(i + 1);
    try {
      db.exec(schemas[i]);
    } catch (const SqliteError& error) {
      const int code = error.primary_code();
      if (code == SQLITE_FULL || code == SQLITE_IOERR) throw;  // no fault of the schema
      return Error{Errc::kFailed, which + " cannot be run: " + error.what()};
    }
    if (db.in_transaction()) {
      return Error{Errc::kFailed, which + " begins a transaction that it does not end with COMMIT"};
    }
  }
  return Ok{};
}

Result<Meta> build(const DatabaseName& name, const std::vector<std::string>& schemas,
                   const Randomness& from, const RulesFile& rules) {
  const std::string site = building_site(name.path);
  {
    const Database db(site, Database::Mode::kCreate);
    db.exec("PRAGMA synchronous=OFF");
    CSA_TRY(run_schemas(db, schemas));
  }
  // Settings and functions of the connection that ran the schema do not count.
  Database db(site, Database::Mode::kReadWrite);
  const std::vector<Unshareable> unshareable = find_unshareable(db, Probe::kSchema);
  if (!unshareable.empty()) {
    return Error{Errc::kFailed, "the schema cannot be shared:" + sentence_of(unshareable)};
  }
  CSA_TRY(make_wal(db, site));
  Transaction transaction(db);
  Meta meta = begin_sharing(db, name, from);
  CSA_TRY(apply_rules(db, rules));
  transaction.commit();
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  return meta;
}

Result<Adoption> share(const DatabaseName& name, const Randomness& from, const RulesFile& rules) {
  Adoption adoption;
  const Database db(name.path, Database::Mode::kReadWrite);
  if (!rules.lines.empty() && !has_tables(db)) {
    // Rules that cannot be must leave the file as it was, its journal mode too: a trial.
    const Transaction trial(db);
    create_tables(db);
    CSA_TRY(apply_rules(db, rules));
  }
  CSA_TRY(make_wal(db, name.path));
  db.exec("PRAGMA synchronous=FULL");
  Transaction transaction(db);
  if (has_tables(db)) {
    return Error{Errc::kFailed, name.path + " was changed by another program meanwhile; try again"};
  }
  adoption.meta = begin_sharing(db, name, from);
  CSA_TRY(apply_rules(db, rules));
  transaction.commit();
  // Somebody who still reads may delay it; the broker does it again.
  (void)db.query_int("PRAGMA wal_checkpoint(TRUNCATE)");
  return adoption;
}

std::vector<Unshareable> unshareable_in(const std::string& path) {
  const Database db(path, Database::Mode::kReadOnly);
  sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  return find_unshareable(db, Probe::kSchema);
}

}  // namespace

Result<Meta> create(const DatabaseName& name, const std::vector<std::string>& schemas,
                    const Randomness& from, const RulesFile& rules) {
  if (exists(name.path)) {
    return Error{Errc::kFailed, name.path +
                                    " exists already, and create makes a new file. To share"
                                    " that one: " +
                                    broker_command("adopt", name, "")};
  }
  const Result<BrokerLock> lock = BrokerLock::take(name.path);
  if (!lock) return lock.error();
  CSA_TRY(check_no_leftovers(name.path));
  const std::string site = building_site(name.path);
  remove_database(site);
  auto made = [&]() -> Result<Meta> {
    try {
      Result<Meta> meta = build(name, schemas, from, rules);
      if (!meta) return meta;
      CSA_TRY(move_in(site, name.path));
      return meta;
    } catch (const SqliteError& error) {
      return error_of(error, name.path);
    }
  }();
  if (!made) remove_database(site);
  return made;
}

Result<Adoption> adopt(const DatabaseName& name, const Randomness& from, const RulesFile& rules) {
  if (!exists(name.path)) return to_error(look_at(name, {}));
  const Result<BrokerLock> lock = BrokerLock::take(name.path);
  if (!lock) return lock.error();
  const Report report = look_at(name, {true, false});
  try {
    if (report.finding == Finding::kSound) {
      Adoption adoption;
      adoption.meta = report.meta;
      adoption.remarks = report.details;
      adoption.already = true;
      return adoption;
    }
    if (report.finding != Finding::kNotAdopted) return to_error(report);
    Adoption adoption;
    adoption.remarks = report.details;
    adoption.unshareable = unshareable_in(name.path);
    if (!adoption.unshareable.empty()) return adoption;
    Result<Adoption> shared = share(name, from, rules);
    if (shared) shared->remarks = report.details;
    return shared;
  } catch (const SqliteError& error) {
    return error_of(error, name.path);
  }
}

}  // namespace csa
