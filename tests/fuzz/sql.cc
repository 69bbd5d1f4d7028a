// A client's SQL in the sandbox, as one write: whatever it says, the transaction stays open, the
// connection's settings, its files and csa's tables are as before, and it ends in time.
#include <sqlite3.h>

#include <filesystem>
#include <set>

#include "common/call_runner.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/hostile_journal.h"

namespace csa::fuzz::sql_target {
namespace {

struct Bench {
  ScratchFolder folder;
  Database db{folder.file("m.db"), Database::Mode::kCreate};
  TimePoint now{};
  Sandbox sandbox{db, [this] { return now += std::chrono::milliseconds(10); }};
  std::optional<Capture> capture;

  Bench() {
    db.exec(test::kHostileSchema);
    test::make_master(db);
    // As the ledger's connection; values are smaller, or the fuzzer would run out of memory.
    db.exec("PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=0");
    for (const auto& [option, on] : {std::pair{SQLITE_DBCONFIG_DEFENSIVE, 1},
                                     {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
                                     {SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0}}) {
      sqlite3_db_config(db.handle(), option, on, nullptr);
    }
    sqlite3_limit(db.handle(), SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(db.handle(), SQLITE_LIMIT_LENGTH, 1 << 20);
    (void)own();  // from now on the list of databases has "temp"
    capture.emplace(db, Capture::Options{10'000, 10'000, folder.path()});
  }
  std::string settings() const {
    std::string all;
    for (const char* const name : {"foreign_keys",
                                   "recursive_triggers",
                                   "writable_schema",
                                   "trusted_schema",
                                   "journal_mode",
                                   "synchronous",
                                   "locking_mode",
                                   "query_only",
                                   "defer_foreign_keys",
                                   "cell_size_check",
                                   "ignore_check_constraints",
                                   "temp_store",
                                   "secure_delete",
                                   "legacy_alter_table",
                                   "max_page_count",
                                   "mmap_size",
                                   "busy_timeout",
                                   "user_version",
                                   "application_id",
                                   "encoding",
                                   "auto_vacuum"}) {
      all +=
          std::string(name) + "=" + db.query_text(std::string("PRAGMA ") + name).value_or("") + " ";
    }
    return all + db.query_text("SELECT group_concat(name) FROM pragma_database_list").value_or("");
  }
  std::string own() const {
    return db
        .query_text(
            "SELECT (SELECT count(*) FROM sqlite_schema) || ' ' || (SELECT count(*) FROM "
            "csa_meta) || ' ' || (SELECT count(*) FROM csa_private) || ' ' || (SELECT "
            "count(*) FROM csa_log) || ' ' || (SELECT count(*) FROM sqlite_temp_schema)")
        .value_or("");
  }
  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      const std::string name = entry.path().filename();
      if (!name.ends_with("-wal") && !name.ends_with("-shm") && !name.ends_with("-journal")) {
        names.insert(name);
      }
    }
    return names;
  }
};

}  // namespace

CSA_FUZZ_TARGET(sql) {
  static std::unique_ptr<Bench> bench;
  if (!bench) bench = std::make_unique<Bench>();
  if (size > 4000) return 0;
  Bench& b = *bench;
  const std::string settings = b.settings();
  const std::string own = b.own();
  const std::set<std::string> files = b.files();
  b.db.exec("BEGIN; SAVEPOINT w");
  b.capture->begin();
  const TimePoint begun = b.now;
  b.sandbox.set_deadline(b.now + std::chrono::seconds(1));
  const Write write{{}, std::string(data, data + size), {}, {}, 0};
  const auto done =
      CallRunner(b.db, b.sandbox, *b.capture, {10'000, 10'000, Place::kBroker}).run(write);
  b.sandbox.set_deadline(std::nullopt);
  fuzz::prove(b.now - begun < std::chrono::seconds(2), "sql: it ran on");
  const auto* const rejection = std::get_if<Rejection>(&done);
  fuzz::prove(rejection == nullptr || !rejection->message.empty(), "sql: refused without a word");
  // What interrupts a statement that wrote may have rolled back all; the write is rejected then.
  const bool open = sqlite3_get_autocommit(b.db.handle()) == 0;
  fuzz::prove(open || rejection != nullptr, "sql: accepted, and its transaction is gone");
  if (open) {
    fuzz::prove(b.settings() == settings, "sql: settings: " + b.settings());
    if (rejection == nullptr) fuzz::prove(b.own() == own, "sql: csa's own tables: " + b.own());
    b.db.exec("ROLLBACK TO w; RELEASE w; ROLLBACK");
  }
  b.capture->discard();
  fuzz::prove(b.settings() == settings, "sql: settings after it: " + b.settings());
  fuzz::prove(b.own() == own, "sql: csa's own tables after it: " + b.own());
  fuzz::prove(b.files() == files, "sql: another file is there");
  return 0;
}

}  // namespace csa::fuzz::sql_target
