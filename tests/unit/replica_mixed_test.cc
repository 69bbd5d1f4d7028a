// A replica's file under the -wal of a later one, told by the count of commits.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "broker/opening.h"
#include "common/random.h"
#include "tests/support/cases.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::replica_mixed_test {
namespace {

namespace fs = std::filesystem;

constexpr auto kOver = fs::copy_options::overwrite_existing;

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

struct Stage {
  ScratchFolder folder;
  HandMaster master{folder.path(), "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)"};
  std::string path = folder.file("r.db");
  std::unique_ptr<Replica> replica = open_replica(path);
  std::uint64_t counter = 0;   // of the last offline write
  std::uint64_t answered = 0;  // of those
  Seq spooled;
  std::vector<LogPiece> parts;  // of an entry, not yet applied
  int number = 0;

  // Its last connection is closed: everything is in the file.
  void reopen() {
    replica.reset();
    replica = open_replica(path);
  }
  void follow_one() {
    master.exec("INSERT INTO t (v) VALUES ('more')");
    REQUIRE(follow(*replica, master).has_value());
  }
  void write(const std::string& sql = "INSERT INTO t (v) VALUES ('mine')") {
    OfflineWrite write;
    write.write.tx = {replica->state().node, ++counter};
    write.write.sql = sql;
    const Result<OfflineDone> done = replica->write_offline(write);
    REQUIRE(done.has_value());
    REQUIRE(std::holds_alternative<Journaled>(done->answer));
  }
  void answer() {
    const TxId tx{replica->state().node, ++answered};
    replica->mark_answered({{tx, ReplayResult::kApplied, 0, master.meta().position.seq, "", {}}});
  }
  void spool_one() {
    spooled = std::max(spooled, replica->state().position->seq);
    master.exec("INSERT INTO t (v) VALUES ('more')");
    REQUIRE(replica->spool(master.after(spooled)));
    spooled = master.meta().position.seq;
  }
  void apply_part() {
    REQUIRE_FALSE(parts.empty());
    REQUIRE(replica->apply({parts.front()}).has_value());
    parts.erase(parts.begin());
  }
  void take() { REQUIRE(take_copy(*replica, master.copy()).has_value()); }
  // File and -wal as after a kill -9, or one of them as it was before.
  [[nodiscard]] std::string keep(const std::string& what, const std::string& as) const {
    fs::copy_file(path + what, folder.file(as), kOver);
    return folder.file(as);
  }
  [[nodiscard]] std::string mix(const std::string& file, const std::string& wal) const {
    const std::string mixed = folder.file("mixed.db");
    fs::remove(mixed + "-shm");
    fs::copy_file(file, mixed, kOver);
    fs::copy_file(wal, mixed + "-wal", kOver);
    return mixed;
  }
};

struct Kind {
  std::string name;
  std::function<void(Stage&)> prepare;
  std::function<void(Stage&)> act;  // at least one commit
};

void with_copy(Stage& s) { s.take(); }

// One transaction that comes in many parts.
void with_parts(Stage& s) {
  s.take();
  s.master.exec("INSERT INTO t (v) VALUES (zeroblob(5000))");
  s.parts = s.master.after(s.replica->state().position->seq, 100);
}

void with_journal(Stage& s) {
  s.take();
  for (int i = 0; i < 20; ++i) s.write();
}

void with_doubtful_answers(Stage& s) {
  with_journal(s);
  s.answer();
  s.replica.reset();
  run_sql(s.path, "DELETE FROM csa_journal_outcome");
  s.reopen();
}

std::string next_endpoint(Stage& s) { return "tcp://host:" + std::to_string(++s.number); }

std::vector<Kind> kinds() {
  return {
      {"entries applied", with_copy, [](Stage& s) { s.follow_one(); }},
      {"a part of an entry", with_parts, [](Stage& s) { s.apply_part(); }},
      {"entries spooled", with_journal, [](Stage& s) { s.spool_one(); }},
      {"the way back", with_copy,
       [](Stage& s) {
         s.write();
         s.answer();
         REQUIRE(s.replica->take_over().has_value());
       }},
      {"an offline write", with_copy, [](Stage& s) { s.write(); }},
      {"an offline write of nothing", with_copy,
       [](Stage& s) { s.write("UPDATE t SET v = 1 WHERE 0"); }},
      {"an answer", with_journal, [](Stage& s) { s.answer(); }},
      {"answers taken back", with_journal, [](Stage& s) { s.replica->unmark_journal(true); }},
      {"the last answer taken back", with_journal,
       [](Stage& s) {
         s.answer();
         s.replica->unmark_journal(false);
       }},
      {"counters reserved", with_copy, [](Stage& s) { (void)s.replica->reserve_counters(); }},
      {"another name", with_journal, [](Stage& s) { s.replica->renew_identity(); }},
      {"the broker's address", with_copy,
       [](Stage& s) { s.replica->remember_endpoint(next_endpoint(s)); }},
      {"broker's time", with_copy, [](Stage& s) { s.replica->remember_clock(ClockAnchor{}); }},
      {"the log is cut", with_copy,
       [](Stage& s) {
         s.follow_one();
         s.replica->trim(s.replica->state().position->seq.next());
       }},
      {"a full copy", with_copy, [](Stage& s) { s.take(); }},
      {"before the first copy", [](Stage&) {},
       [](Stage& s) { (void)s.replica->reserve_counters(); }},
      {"opened", with_doubtful_answers,
       [](Stage& s) {
         s.spool_one();
         s.reopen();
         s.spooled = Seq{};
       }},
  };
}

bool mixes(const Error& error) {
  return error.code == Errc::kDamaged &&
         error.what.find("do not belong together") != std::string::npos;
}

void check_refused(Stage& s, const std::string& file, const std::string& wal) {
  const std::string mixed = s.mix(file, wal);
  // Before a replica is opened, which SQLite may write to.
  const DatabaseName name{s.folder.file("anew.db"), "csa", "shop"};
  const Randomness chance{[] { return random_id(); }, [] { return LocalTime{}; }};
  const Result<Restoration> restored = restore(name, mixed, chance);
  CHECK((!restored && mixes(restored.error())));
  CHECK_FALSE(fs::exists(name.path));
  const Result<std::unique_ptr<Replica>> opened = try_open(mixed);
  CHECK((!opened && mixes(opened.error())));
  CHECK((bytes_of(mixed) == bytes_of(file)));
  CHECK((bytes_of(mixed + "-wal") == bytes_of(wal)));
}

void check_opens(Stage& s, const std::string& file, const std::string& wal) {
  const Result<std::unique_ptr<Replica>> opened = try_open(s.mix(file, wal));
  CHECK_MESSAGE(opened.has_value(), opened.error().what);
}

}  // namespace

TEST_CASE("mixed replica: a file older by one commit of any kind is refused, the true one not") {
  for (const Kind& kind : kinds()) {
    for (const int older : {1, 2, 3, 10}) {
      if (test::kOneOf > 1 && older > 1) continue;
      CAPTURE(kind.name);
      CAPTURE(older);
      Stage s;
      // More than the replica's own, which a full copy must not take over.
      s.master.db().exec("INSERT OR REPLACE INTO csa_meta VALUES ('commits', 1000)");
      kind.prepare(s);
      s.replica.reset();
      const std::string old = s.keep("", "old.db");
      s.replica = open_replica(s.path);
      for (int i = 0; i < older; ++i) kind.act(s);
      s.replica.reset();
      const std::string file = s.keep("", "true.db");
      s.replica = open_replica(s.path);
      // Whoever reads keeps the -wal from being begun anew, and what it has from the file.
      const Database reader(s.path, Database::Mode::kReadOnly);
      reader.exec("BEGIN");
      (void)reader.query_int("SELECT count(*) FROM csa_meta");
      for (int i = 0; i < 3; ++i) {
        kind.act(s);
        const std::string wal = s.keep("-wal", "true.wal");
        check_opens(s, file, wal);
        check_opens(s, s.keep("", "now.db"), wal);
        check_refused(s, old, wal);
      }
    }
  }
}

}  // namespace csa::replica_mixed_test
