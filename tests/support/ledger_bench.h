// A master in a scratch folder, a Ledger over it with clocks that the test turns, and a copy of the
// start that the log can be replayed onto.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/ledger.h"
#include "common/apply.h"
#include "common/changeset.h"
#include "common/limits.h"
#include "common/random.h"
#include "common/schema.h"
#include "common/store_meta.h"
#include "tests/support/compare.h"
#include "tests/support/scratch_folder.h"

namespace csa::test {

inline void backup(const Database& from, const Database& to) {
  sqlite3_backup* const copy = sqlite3_backup_init(to.handle(), "main", from.handle(), "main");
  REQUIRE(copy != nullptr);
  CHECK(sqlite3_backup_step(copy, -1) == SQLITE_DONE);
  CHECK(sqlite3_backup_finish(copy) == SQLITE_OK);
}

// Gives an ordinary database csa's tables, as adopting it does.
inline void make_master(const Database& db) {
  db.exec("PRAGMA journal_mode=WAL");
  Transaction transaction(db);
  create_tables(db);
  Meta meta;
  meta.tables_version = kTablesVersion;
  meta.db = DbId{random_id()};
  meta.app = "csa";
  meta.group = "default";
  meta.position.epoch = Epoch{1, random_id()};
  meta.floor = Seq{1};
  meta.fingerprint = schema_fingerprint(db);
  write_meta(db, meta);
  add_epoch(db, {meta.position.epoch, Position{}, WallTime{1}});
  write_layout(db, 1, to_json(read_layout(db)));
  transaction.commit();
}

struct LedgerBench {
  ScratchFolder folder;
  std::string path = folder.file("master.db");
  TimePoint now{};
  Duration tick{};  // that passes with each look at the clock
  std::string lines;
  Log log{LogLevel::kDebug, [this](LogLevel, std::string_view line) { lines += line; }};
  NodeId node{random_id()};
  std::uint64_t counter = 0;
  LedgerOptions options;
  std::unique_ptr<Ledger> ledger;

  explicit LedgerBench(const std::string& schema) {
    {
      const Database db(path, Database::Mode::kCreate);
      db.exec(schema);
      make_master(db);
      const Database start(folder.file("start.db"), Database::Mode::kCreate);
      backup(db, start);
    }
    open();
  }
  // Of a copy of the real database; REQUIRES: chinook() is not empty.
  struct Chinook {};
  explicit LedgerBench(Chinook) {
    {
      const Database real(chinook(), Database::Mode::kReadOnly);
      const Database db(path, Database::Mode::kCreate);
      backup(real, db);
      make_master(db);
      const Database start(folder.file("start.db"), Database::Mode::kCreate);
      backup(db, start);
    }
    open();
  }
  static std::string chinook() {
    const char* const named = std::getenv("CSA_TEST_DB");
    const std::string file =
        named != nullptr ? named : CSA_SOURCE_DIR "/../shared/data/chinook.sqlite";
    return std::filesystem::exists(file) ? file : std::string();
  }

  void open() {
    ledger.reset();
    if (options.rows_max == 0) {
      options.max_changes = limits::kMaxChangesDefault;
      options.log_keep = limits::kLogKeepDefault;
      options.rows_max = limits::kRowsMax;
      options.statement_timeout = std::chrono::seconds(30);
      options.monotonic_now = [this] { return now += tick; };
      options.local_now = [] { return LocalTime{WallTime{1700000000000}}; };
      options.random_id = [] { return random_id(); };
    }
    ledger = std::make_unique<Ledger>(path, options, log);
  }

  WriteJob job(const std::string& sql, Row parameters = {}) {
    Write write;
    write.tx = TxId{node, ++counter};
    write.sql = sql;
    write.parameters = std::move(parameters);
    return {std::move(write), "desk", counter};
  }
  WriteJob migration(const std::string& sql, std::optional<std::uint64_t> version = {}) {
    return {Migrate{TxId{node, ++counter}, sql, version}, "desk", counter};
  }
  WriteAnswer run(const WriteJob& one) {
    const CommitResult result = ledger->commit({one});
    REQUIRE(result.outcomes.size() == 1);
    CHECK(result.outcomes[0].ticket == one.ticket);
    return result.outcomes[0].answer;
  }
  Ack ack(const WriteJob& one) {
    const WriteAnswer answer = run(one);
    if (const auto* const nack = std::get_if<Nack>(&answer)) FAIL(nack->message);
    return std::get<Ack>(answer);
  }
  Nack nack(const WriteJob& one) {
    const WriteAnswer answer = run(one);
    REQUIRE(std::holds_alternative<Nack>(answer));
    return std::get<Nack>(answer);
  }
  Ack write(const std::string& sql, Row parameters = {}) {
    return ack(job(sql, std::move(parameters)));
  }
  Nack refused(const std::string& sql, Row parameters = {}) {
    return nack(job(sql, std::move(parameters)));
  }
  std::int64_t count(const std::string& sql) const {
    return Database(path, Database::Mode::kReadOnly).query_int(sql).value_or(-1);
  }

  // Of a log entry, as its first row in the file has it.
  [[nodiscard]] Bytes header_of(Seq seq) const {
    const Database db(path, Database::Mode::kReadOnly);
    Statement read = db.prepare("SELECT header FROM csa_log WHERE part_id = ?1");
    REQUIRE(read.bind(1, first_log_part(seq)).step());
    return read.column_blob(0);
  }
  void set_header(Seq seq, const Bytes& header) const {
    const Database db(path, Database::Mode::kReadWrite);
    Statement write = db.prepare("UPDATE csa_log SET header = ?2 WHERE part_id = ?1");
    write.bind(1, first_log_part(seq)).bind_blob(2, header).run();
  }

  // Replays the whole log onto the copy of the start; empty: it became the master.
  std::string replay_difference() const {
    const Database master(path, Database::Mode::kReadOnly);
    const std::string file = folder.file("replayed-" + to_string(random_id()));
    {
      const Database start(folder.file("start.db"), Database::Mode::kReadOnly);
      const Database to(file, Database::Mode::kCreate);
      backup(start, to);
    }
    const Database copy(file, Database::Mode::kReadWrite);
    Applier applier(copy);
    LogTable entries(master);
    for (Seq seq{1}; seq <= ledger->meta().position.seq; seq = seq.next()) {
      Transaction transaction(copy);
      ChangeReader reader;
      std::uint64_t offset = 0;
      while (true) {
        const std::optional<LogPiece> piece = entries.read(seq, offset, limits::kPieceMax);
        REQUIRE(piece.has_value());
        reader.feed(piece->bytes);
        offset += piece->bytes.size();
        const std::string wrong = apply_all(applier, reader);
        if (!wrong.empty()) return wrong;
        if (piece->completes()) break;
      }
      applier.finish();
      transaction.commit();
    }
    return difference(master, copy);
  }

 private:
  static std::string apply_all(Applier& applier, ChangeReader& reader) {
    while (true) {
      Result<std::optional<Change>> change = reader.next();
      if (!change) return change.error().what;
      if (!*change) return {};
      const auto* const schema = std::get_if<SchemaStatement>(&**change);
      if (schema != nullptr && schema->sql.starts_with(kFingerprintRemark)) continue;
      if (const Status done = applier.apply(**change, reader.tables()); !done) {
        return done.error().what;
      }
    }
  }
};

}  // namespace csa::test
