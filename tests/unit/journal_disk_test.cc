// The disk fails at every write that the steps of offline work make, one after the other; then the
// computer is started again. The old state is there whole or the new one, and an entry exactly
// where its effect is.
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <string>

#include "common/journal.h"
#include "common/limits.h"
#include "tests/support/cases.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::journal_disk_test {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE seen (n INTEGER);"
    "CREATE TRIGGER noted AFTER INSERT ON t BEGIN INSERT INTO seen VALUES (new.id); END;"
    "INSERT INTO t VALUES (1, 'one')";
constexpr const char* kInsert =
    "INSERT INTO t (v) SELECT hex(zeroblob(400)) FROM (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL"
    " SELECT i + 1 FROM n LIMIT 60) SELECT i FROM n)";

OfflineWrite call(const Replica& replica, std::uint64_t counter, const std::string& sql) {
  OfflineWrite write;
  write.write.tx = {replica.state().node, counter};
  write.write.sql = sql;
  write.edited = WallTime{1000};
  return write;
}

// Everything that a step may change.
std::string picture(const std::string& path) {
  const Database db(path, Database::Mode::kReadOnly);
  CHECK(db.query_text("PRAGMA integrity_check") == "ok");
  std::string text = content_of(db);
  for (const char* const sql :
       {"SELECT coalesce(group_concat(entry || ':' || answered), '') FROM csa_journal",
        "SELECT coalesce(group_concat(part_id || ':' || length(body)), '') FROM csa_journal_part",
        "SELECT coalesce(group_concat(counter || ':' || result), '') FROM csa_journal_outcome",
        "SELECT count(*) FROM csa_log"}) {
    text += "\n" + db.query_text(sql).value_or("?");
  }
  return text;
}

struct Place {
  ScratchFolder folder;
  HandMaster master{folder.path(), kSchema};
  std::string path = folder.file("r.db");

  using Step = std::function<void(Replica&)>;
  void copy_to(const std::string& to) const {
    for (const char* const suffix : {"", "-wal", "-shm"}) {
      std::filesystem::remove(to + suffix);
      if (std::filesystem::exists(path + suffix)) {
        std::filesystem::copy_file(path + suffix, to + suffix);
      }
    }
  }
  static std::string after_restart(const std::string& path) {
    open_replica(path)->close();
    return picture(path);
  }
  // What stands at `path` is the state before.
  void fail_each_write(const Step& step) const {
    const std::string tried = folder.file("tried.db");
    copy_to(tried);
    const std::string before = after_restart(tried);
    {
      const auto replica = open_replica(tried);
      step(*replica);
    }
    const std::string after = after_restart(tried);
    REQUIRE(after != before);
    int failures = 0;
    for (const int code : {SQLITE_FULL, SQLITE_IOERR_WRITE, SQLITE_IOERR_FSYNC}) {
      for (int k = 0;; k += test::kOneOf) {
        CAPTURE(code);
        CAPTURE(k);
        copy_to(tried);
        bool failed = false;
        {
          test::FaultyDisk disk;
          const auto replica = open_replica(tried);
          if (code == SQLITE_IOERR_FSYNC) {
            disk.fail_syncs(code);
          } else {
            disk.fail_writes(code, k);
          }
          try {
            step(*replica);
          } catch (const SqliteError&) {
            failed = true;
          }
          disk.mend();
          // The process may also go on: then it says what is there.
          if (failed && k % 2 == 1) {
            const std::uint64_t waiting = replica->state().journal.waiting;
            const Database db(tried, Database::Mode::kReadOnly);
            CHECK(db.query_int("SELECT count(*) FROM csa_journal WHERE answered = 0") ==
                  static_cast<std::int64_t>(waiting));
          }
        }
        const std::string now = after_restart(tried);
        CHECK_MESSAGE((now == before || now == after), now);
        if (!failed) {
          CHECK(now == after);
          break;
        }
        ++failures;
        if (code == SQLITE_IOERR_FSYNC) break;
        REQUIRE(k < 500);
      }
    }
    CHECK(failures > 2);
  }
};

void must(bool done) { REQUIRE(done); }

std::vector<Replayed> answers_for(Replica& replica, Seq seq) {
  std::vector<Replayed> answers;
  const std::vector<Replay> parts = replica.read_journal(0, 0, 64 * limits::kMiB).value();
  for (const Replay& part : parts) {
    answers.push_back({part.header.tx, ReplayResult::kApplied, 0, seq, {}, {}});
  }
  return answers;
}

}  // namespace

TEST_CASE(
    "journal: the disk fails at any write of an offline write, all of it is there or nothing") {
  Place p;
  {
    const auto replica = open_replica(p.path);
    REQUIRE(take_copy(*replica, p.master.copy()).has_value());
    must(replica->write_offline(call(*replica, 1, kInsert)).has_value());
  }
  p.fail_each_write([](Replica& replica) {
    const Result<OfflineDone> done = replica.write_offline(call(replica, 2, kInsert));
    REQUIRE(done.has_value());
    if (const auto* const nack = std::get_if<Nack>(&done->answer)) {
      throw SqliteError(SQLITE_FULL, nack->message);
    }
  });
}

TEST_CASE("journal: an offline write that the disk did not take is rejected, and is not there") {
  Place p;
  const auto sound = open_replica(p.path);
  REQUIRE(take_copy(*sound, p.master.copy()).has_value());
  must(sound->write_offline(call(*sound, 1, kInsert)).has_value());
  sound->close();
  const std::string tried = p.folder.file("tried.db");
  p.copy_to(tried);
  const std::string before = Place::after_restart(tried);
  for (const int code : {SQLITE_FULL, SQLITE_IOERR_WRITE}) {
    int rejected = 0;
    for (int k = 0; k < 500; k += test::kOneOf) {
      CAPTURE(code);
      CAPTURE(k);
      p.copy_to(tried);
      Result<OfflineDone> done = Error{};
      {
        test::FaultyDisk disk;
        const auto replica = open_replica(tried);
        disk.fail_writes(code, k);
        done = replica->write_offline(call(*replica, 2, kInsert));
        disk.mend();
      }
      REQUIRE(done.has_value());
      const auto* const nack = std::get_if<Nack>(&done->answer);
      CHECK((Place::after_restart(tried) == before) == (nack != nullptr));
      if (nack == nullptr) break;
      CHECK(nack->code == NackCode::kLimit);
      CHECK(nack->message.find("was not made") != std::string::npos);
      ++rejected;
    }
    CHECK(rejected > 2);
  }
}

TEST_CASE("journal: the disk fails at any write of marking, spooling and taking over") {
  Place p;
  {
    const auto replica = open_replica(p.path);
    REQUIRE(take_copy(*replica, p.master.copy()).has_value());
    must(replica->write_offline(call(*replica, 1, kInsert)).has_value());
    must(replica->write_offline(call(*replica, 2, "UPDATE t SET v = 'two' WHERE id < 9"))
             .has_value());
  }
  p.master.exec("INSERT INTO t (v) VALUES ('of another'); UPDATE t SET v = 'three' WHERE id = 1");
  const Seq head = p.master.meta().position.seq;
  p.fail_each_write([&](Replica& replica) { replica.mark_answered(answers_for(replica, head)); });
  {
    const auto replica = open_replica(p.path);
    replica->mark_answered(answers_for(*replica, head));
  }
  const std::vector<LogPiece> tail = p.master.after(Seq{0});
  p.fail_each_write([&](Replica& replica) {
    must(replica.spool(tail).has_value());
    must(replica.take_over().has_value());
    CHECK(content_of(replica.path()) == content_of(p.master.db()));
  });
}

TEST_CASE("journal: the disk fails at any write of a full copy over an answered journal") {
  Place p;
  {
    const auto replica = open_replica(p.path);
    REQUIRE(take_copy(*replica, p.master.copy()).has_value());
    must(replica->write_offline(call(*replica, 1, kInsert)).has_value());
    replica->mark_answered(answers_for(*replica, p.master.meta().position.seq));
  }
  p.master.exec("INSERT INTO t (v) VALUES ('of another')");
  const HandMaster::Copy copy = p.master.copy();
  p.fail_each_write([&](Replica& replica) {
    must(take_copy(replica, copy).has_value());
    CHECK(content_of(replica.path()) == content_of(p.master.db()));
  });
}

}  // namespace csa::journal_disk_test
