// Restore, and the commands of csa-broker around opening.h.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "broker/commands.h"
#include "tests/support/opening_place.h"

namespace csa::opening::opening_ways_test {

TEST_CASE("restore: from a copy, the next generation, the old file kept with all it had") {
  const Place place;
  const Meta meta = place.created();
  const std::string backup = place.folder.file("backup.db");
  {
    const Database db(place.path, Database::Mode::kReadOnly);
    db.exec("VACUUM INTO '" + backup + "'");
  }
  place.change("INSERT INTO part (name) VALUES ('late')");
  const auto done = restore(place.name, backup, real());
  REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
  CHECK(done->meta.db == meta.db);
  CHECK(done->meta.position.epoch.generation == 2);
  CHECK(done->meta.position.epoch.id != meta.position.epoch.id);
  CHECK(place.found(true) == Finding::kSound);
  CHECK(place.count("SELECT count(*) FROM part") == 2);
  CHECK(place.count("SELECT count(*) FROM csa_epoch") == 2);
  CHECK(place.count("SELECT parent_generation FROM csa_epoch WHERE generation = 2") == 1);
  REQUIRE(!done->kept_as.empty());
  const Database old(done->kept_as, Database::Mode::kReadOnly);
  CHECK(old.query_int("SELECT count(*) FROM part") == 3);
  // Once more: above both, though the backup is of generation 1.
  const auto again = restore(place.name, backup, real());
  REQUIRE(again.has_value());
  CHECK(again->meta.position.epoch.generation == 3);
  CHECK(again->kept_as != done->kept_as);
}

TEST_CASE("restore: a replica's identity, log and secrets do not come along") {
  const Place place;
  place.created();
  place.change(
      "DELETE FROM csa_private; INSERT INTO csa_private VALUES ('role', CAST('node' AS BLOB));"
      "INSERT INTO csa_log VALUES (1, 0, x'00', x'00', x'00')");
  const std::string replica = place.folder.file("replica.db");
  fs::rename(place.path, replica);
  const auto done = restore(place.name, replica, real());
  REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
  CHECK(done->kept_as.empty());
  CHECK(place.found(true) == Finding::kSound);
  CHECK(place.count("SELECT count(*) FROM csa_log") == 0);
  CHECK(place.count("SELECT count(*) FROM csa_private WHERE key NOT IN ('role', 'clock')") == 0);
  const Database untouched(replica, Database::Mode::kReadOnly);
  CHECK(untouched.query_int("SELECT count(*) FROM csa_log") == 1);
}

TEST_CASE("restore: over a file that is no database, kept as it was") {
  const Place place;
  place.created();
  const std::string backup = place.folder.file("backup.db");
  fs::rename(place.path, backup);
  write_file(place.path, std::string(5000, 'r'));
  write_file(place.path + "-wal", "its log");
  const auto done = restore(place.name, backup, real());
  REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
  CHECK(bytes_of(done->kept_as) == std::string(5000, 'r'));
  CHECK(bytes_of(done->kept_as + "-wal") == "its log");
  CHECK(place.found(true) == Finding::kSound);
}

TEST_CASE("restore: what cannot be restored from, and the database stays") {
  const Place place;
  place.created();
  const std::string before = bytes_of(place.path);
  const std::string other = place.folder.file("other.db");
  const auto fails = [&](Errc code) {
    const auto done = restore(place.name, other, real());
    REQUIRE(!done.has_value());
    CHECK_MESSAGE(done.error().code == code, done.error().what);
    CHECK(bytes_of(place.path) == before);
    CHECK(place.kept().empty());
    CHECK(!fs::exists(place.path + ".csa-new"));
  };
  fails(Errc::kNothing);
  write_file(other, std::string(3000, 'y'));
  fails(Errc::kDamaged);
  fs::remove(other);
  {
    const Database db(other, Database::Mode::kCreate);
    db.exec("CREATE TABLE t (x)");
  }
  fails(Errc::kFailed);
  fs::remove(other);
  REQUIRE(create({other, "csa", "elsewhere"}, {kPartSchema}, real()).has_value());
  fails(Errc::kRefused);
}

namespace {

struct Run {
  int code = -1;
  std::string out;
  std::string err;
  int served = 0;
};

Run run_with(BrokerFlags flags, const std::string& typed, bool interactive) {
  std::istringstream in(typed);
  std::ostringstream out;
  std::ostringstream err;
  Run result;
  REQUIRE(settle(flags).has_value());
  const auto serve = [&](const ServeConfig& config, const std::unique_ptr<Database>& held,
                         const Log&) {
    ++result.served;
    CHECK(BrokerLock::is_taken(config.database));
    CHECK(held);
    return Status(Ok{});
  };
  result.code = run(flags, {in, out, err, interactive}, {[](const ServeConfig&) {}, serve});
  result.out = out.str();
  result.err = err.str();
  return result;
}

BrokerFlags flags_of(const Place& place, BrokerVerb verb) {
  BrokerFlags flags;
  flags.verb = verb;
  flags.common.group = "shop";
  flags.serve.database = place.path;
  return flags;
}

}  // namespace

TEST_CASE("serve: no database and no terminal, commands to copy and exit 3") {
  const Place place;
  const Run run = run_with(flags_of(place, BrokerVerb::kServe), "1\n", false);
  CHECK(run.code == 3);
  CHECK(run.served == 0);
  CHECK(run.out.empty());
  CHECK(run.err.find("csa-broker create --db " + place.path) != std::string::npos);
}

TEST_CASE("restore: from a file that is not there, says where a replica lies") {
  const Place place;
  BrokerFlags flags = flags_of(place, BrokerVerb::kRestore);
  flags.from = place.folder.file("nowhere.db");
  const Run run = run_with(flags, "", false);
  CHECK(run.code == 3);
  CHECK(run.err.find("there is no file " + flags.from) != std::string::npos);
  CHECK(run.err.find("csa-node status") != std::string::npos);
  CHECK(run.err.find("~/.local/share/csa/shop/replica.db") != std::string::npos);
}

TEST_CASE("serve: the menu creates what is missing, and then it serves") {
  const Place place;
  write_file(place.folder.file("s.sql"), kPartSchema);
  const std::string typed = "7\nx\n1\n" + place.folder.file("s.sql") + "\n";
  const Run run = run_with(flags_of(place, BrokerVerb::kServe), typed, true);
  CHECK(run.code == 0);
  CHECK(run.served == 1);
  CHECK(run.err.find("1) Create") != std::string::npos);
  CHECK(run.err.find("can read and write the database") != std::string::npos);
  CHECK(place.found() == Finding::kSound);
  // Quit, and the end of input, leave everything as it is.
  const Place other;
  CHECK(run_with(flags_of(other, BrokerVerb::kServe), "q\n", true).code == 3);
  CHECK(run_with(flags_of(other, BrokerVerb::kServe), "", true).code == 3);
  CHECK(run_with(flags_of(other, BrokerVerb::kServe), "1\n/nowhere.sql\nq\n", true).code == 3);
  CHECK(!fs::exists(other.path));
}

TEST_CASE("serve: the menu adopts another file and serves that one") {
  const Place place;
  const std::string other = place.folder.file("own.db");
  {
    const Database db(other, Database::Mode::kCreate);
    db.exec(kPartSchema);
  }
  const Run run = run_with(flags_of(place, BrokerVerb::kServe), "2\n" + other + "\n", true);
  CHECK(run.code == 0);
  CHECK(run.served == 1);
  CHECK(inspect({other, "csa", "shop"}, false).finding == Finding::kSound);
}

TEST_CASE("restore: a damaged journal is refused with the way on, and --as-is tells what it did") {
  const Place place;
  place.created();
  place.change("INSERT INTO csa_journal VALUES (1, x'00', x'00', 0)");
  const std::string replica = place.folder.file("replica.db");
  fs::rename(place.path, replica);
  BrokerFlags flags = flags_of(place, BrokerVerb::kRestore);
  flags.from = replica;
  Run run = run_with(flags, "", false);
  CHECK(run.code != 0);
  CHECK(run.err.find("offline change 1 ") != std::string::npos);
  CHECK(run.err.find("csa-broker restore --as-is") != std::string::npos);
  CHECK(!fs::exists(place.path));
  flags.as_is = true;
  run = run_with(flags, "", false);
  CHECK(run.code == 0);
  CHECK(run.err.find("1 offline change is in them without having been merged, 1 of which") !=
        std::string::npos);
  CHECK(run.err.find("kept as " + place.path + ".damaged-") != std::string::npos);
  flags.common.json = true;
  run = run_with(flags, "", false);
  CHECK(run.out.find("\"changes\":1") != std::string::npos);
  CHECK(run.out.find("\"unreadable\":1") != std::string::npos);
}

TEST_CASE("restore: to and from a link, the files that they name, and the links stay") {
  const Place place;
  place.created();
  place.change("INSERT INTO part (name) VALUES ('rod')");
  fs::create_directory(place.folder.file("disk"));
  fs::rename(place.path, place.folder.file("disk/backup.db"));
  const std::string link = place.folder.file("link.db");
  const std::string backup = place.folder.file("backup.db");
  fs::create_symlink("disk/shop.db", link);  // which is not there yet
  fs::create_symlink("disk/backup.db", backup);
  BrokerFlags flags = flags_of(place, BrokerVerb::kRestore);
  flags.serve.database = link;
  flags.from = backup;
  for (const bool again : {false, true}) {
    const Run run = run_with(flags, "", false);
    CHECK(run.code == 0);
    CHECK((run.err.find("kept as " + place.folder.file("disk/shop.db.kept-")) !=
           std::string::npos) == again);
  }
  CHECK(fs::is_symlink(link));
  CHECK(fs::is_symlink(backup));
  CHECK(inspect({place.folder.file("disk/shop.db"), "csa", "shop"}, true).finding ==
        Finding::kSound);
  flags = flags_of(place, BrokerVerb::kCheck);
  flags.serve.database = place.folder.file("circle.db");
  fs::create_symlink("circle.db", flags.serve.database);
  const Status circle = settle(flags);
  REQUIRE(!circle);
  CHECK(circle.error().what.find("circle.db is a symbolic link") != std::string::npos);
}

TEST_CASE("serve: of a link, a bit of the -wal beside its file is put right") {
  const Place place;
  place.created();
  const std::string file = place.folder.file("disk/shop.db");
  fs::create_directory(place.folder.file("disk"));
  {
    const Database db(place.path, Database::Mode::kReadWrite);
    db.exec("PRAGMA wal_autocheckpoint=0");
    for (int i = 0; i < 4; ++i) db.exec("INSERT INTO part (name) VALUES ('rod')");
    for (const char* const ending : {"", "-wal"}) fs::copy_file(place.path + ending, file + ending);
  }
  fs::remove(place.path);
  fs::create_symlink(file, place.path);
  std::string wal = bytes_of(file + "-wal");
  wal.at(32 + 24 + 100) = static_cast<char>(wal.at(32 + 24 + 100) ^ 1);
  write_file(file + "-wal", wal);
  const Run run = run_with(flags_of(place, BrokerVerb::kServe), "", false);
  CHECK(run.code == 0);
  CHECK(run.err.find("1 bit of " + file + "-wal wrongly, by its checksums: put right") !=
        std::string::npos);
  CHECK(place.count("SELECT count(*) FROM part") == 6);
}

TEST_CASE("check and adopt: JSON on stdout, exit codes of the contract") {
  const Place place;
  BrokerFlags check = flags_of(place, BrokerVerb::kCheck);
  check.common.json = true;
  Run run = run_with(check, "", false);
  CHECK(run.code == 3);
  CHECK(run.out.find("\"finding\":\"missing\"") != std::string::npos);
  place.plain("CREATE TABLE csa_mine (x)");
  BrokerFlags adopt = flags_of(place, BrokerVerb::kAdopt);
  adopt.common.json = true;
  run = run_with(adopt, "", false);
  CHECK(run.code == 1);
  CHECK(run.out.find("\"adopted\":false") != std::string::npos);
  place.change("DROP TABLE csa_mine; CREATE TABLE mine (x)");
  CHECK(run_with(adopt, "", false).code == 0);
  run = run_with(adopt, "", false);
  CHECK(run.code == 0);
  CHECK(run.out.find("\"already\":true") != std::string::npos);
  run = run_with(check, "", false);
  CHECK(run.code == 0);
  CHECK(run.out.find("\"finding\":\"sound\"") != std::string::npos);
}

TEST_CASE("opening: a real database is adopted, checked and restored from") {
  const char* const set = std::getenv("CSA_TEST_DB");
  const std::string real_path =
      set != nullptr ? set : std::string(CSA_SOURCE_DIR) + "/../shared/data/chinook.sqlite";
  if (!fs::exists(real_path)) {
    MESSAGE("no real database: set CSA_TEST_DB");
    return;
  }
  const Place place;
  fs::copy_file(real_path, place.path);
  ::chmod(place.path.c_str(), 0600);
  const auto adoption = adopt(place.name, real());
  REQUIRE_MESSAGE(adoption.has_value(), (adoption ? "" : adoption.error().what));
  CHECK(adoption->unshareable.empty());
  CHECK(place.found(true) == Finding::kSound);
  const auto done = restore(place.name, place.path, real());
  REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
  CHECK(done->meta.schema_version == 1);
  CHECK(place.found(true) == Finding::kSound);
}

}  // namespace csa::opening::opening_ways_test
