#include "node/install.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "common/limits.h"
#include "common/random.h"
#include "node/replica.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::install_test {
namespace {

constexpr const char* kSchema = R"(
  CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500)
  INSERT INTO t SELECT i, 'value ' || i FROM n;
)";

std::optional<std::int64_t> count(const Database& db) {
  return db.query_int("SELECT count(*) FROM t");
}

// The master is restored from `parent`: the next epoch, without a log that leads there. What the
// replica makes of it.
Result<Applied> follow_restored(Replica& replica, HandMaster& master, const Position& parent) {
  const Position next{Epoch{9, random_id()}, parent.seq, Chain{random_id()}};
  master.meta().position = next;
  master.meta().floor = parent.seq.next();
  {
    const Database db(master.path(), Database::Mode::kReadWrite);
    add_epoch(db, {next.epoch, parent, WallTime{1}});
  }
  master.exec("INSERT INTO t VALUES (901, 'new')");
  return take_copy(replica, master.copy());
}

}  // namespace

TEST_CASE("install: the first copy, content, position and database are the master's") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const std::string path = folder.file("r.db");
  const auto replica = open_replica(path);
  const NodeId node = replica->state().node;
  (void)replica->reserve_counters();
  replica->remember_endpoint("10.0.0.1:5775");
  // A program may have the empty replica open already.
  const Database early(path, Database::Mode::kReadOnly);
  CHECK(early.query_int("SELECT count(*) FROM csa_log") == 0);

  const Result<Applied> applied = take_copy(*replica, master.copy());
  REQUIRE(applied.has_value());
  CHECK(applied.value().schema_changed);
  CHECK(applied.value().tables == std::vector<std::string>{"t"});
  CHECK(applied.value().state.db == master.meta().db);
  CHECK(applied.value().state.position == master.meta().position);
  CHECK(applied.value().state.node == node);
  CHECK(applied.value().state.counter == limits::kCounterBlock);
  CHECK(applied.value().state.generation_seen == 3);
  CHECK(replica->last_endpoint() == "10.0.0.1:5775");
  CHECK(count(early) == 500);
  CHECK(content_of(path) == content_of(master.db()));
  CHECK(!std::filesystem::exists(path + "-csa-copy"));
  CHECK(!std::filesystem::exists(path + "-csa-copy-wal"));
}

TEST_CASE("install: what the master's history does not have is kept aside, the rest is not") {
  enum class Case { kBehind, kLost, kOtherChain, kUnknown };
  for (const Case one : {Case::kBehind, Case::kLost, Case::kOtherChain, Case::kUnknown}) {
    CAPTURE(static_cast<int>(one));
    const ScratchFolder folder;
    HandMaster master(folder.path(), kSchema);
    const std::string path = folder.file("r.db");
    const auto replica = open_replica(path);
    REQUIRE(take_copy(*replica, master.copy()).has_value());
    master.exec("INSERT INTO t VALUES (900, 'only here')");
    Position parent = master.meta().position;
    if (one == Case::kLost) parent.seq.value -= 1;
    if (one == Case::kOtherChain) parent.chain = Chain{random_id()};
    if (one == Case::kUnknown) parent.epoch = {parent.epoch.generation - 1, random_id()};
    REQUIRE(follow(*replica, master).has_value());
    const std::string before = content_of(path);
    master.exec("DELETE FROM t WHERE id = 900");
    const Result<Applied> applied = follow_restored(*replica, master, parent);
    REQUIRE_MESSAGE(applied.has_value(), (applied ? "" : applied.error().what));
    CHECK(content_of(path) == content_of(master.db()));
    if (one == Case::kBehind) {
      CHECK(applied->kept_as.empty());
      CHECK(asides_of(folder.path()).empty());
      continue;
    }
    const char* const why = one == Case::kLost         ? "has lost what came after"
                            : one == Case::kOtherChain ? "has another history up to"
                                                       : "has never had the history";
    CHECK_MESSAGE(applied->kept_why.find(why) != std::string::npos, applied->kept_why);
    REQUIRE(asides_of(folder.path()) == std::vector<std::string>{applied->kept_as});
    CHECK(content_of(applied->kept_as) == before);
  }
}

TEST_CASE("install: the inbox of a lost history has open rows, the notice counts them") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const auto replica = open_replica(folder.file("r.db"));
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  const Position parent = master.meta().position;
  master.exec("INSERT INTO csa_inbox SELECT i, i, " + std::to_string(parent.seq.value + 1) +
              ", '', x'01', i, 1, 'till', '', i, zeroblob(16),"
              " '[[\"t\",\"update\",\"newest\",\"broker\",\"\",null,0,0]]',"
              " '[[0,{},null,null,null]]', x'' FROM (SELECT 1 AS i UNION SELECT 2 UNION SELECT 3)");
  master.exec("INSERT INTO csa_inbox_later (id, state) VALUES (3, 'dismissed')");
  REQUIRE(follow(*replica, master).has_value());
  master.exec("DELETE FROM csa_inbox; DELETE FROM csa_inbox_later");
  const Result<Applied> applied = follow_restored(*replica, master, parent);
  REQUIRE_MESSAGE(applied.has_value(), (applied ? "" : applied.error().what));
  CHECK_MESSAGE(applied->kept_why.find("2 open rows of its conflict inbox") != std::string::npos,
                applied->kept_why);
}

TEST_CASE("install: two histories that left one epoch, they part where the first of them left it") {
  const Epoch common{1, random_id()};
  const Epoch own{2, random_id()};
  const Epoch other{3, random_id()};
  const auto at = [](const Epoch& epoch, std::uint64_t seq) {
    return Position{epoch, Seq{seq}, Chain{random_id()}};
  };
  const auto make = [&](const std::string& path, const Position& parent, const Position& now) {
    const Database db(path, Database::Mode::kCreate);
    create_tables(db);
    add_epoch(db, {common, {}, WallTime{1}});
    if (now.epoch != common) add_epoch(db, {now.epoch, parent, WallTime{2}});
    Meta meta;
    meta.tables_version = kTablesVersion;
    meta.db = DbId{random_id()};
    meta.position = now;
    meta.floor = now.seq.next();
    write_meta(db, meta);
  };
  const ScratchFolder folder;
  const Position here = at(own, 60);
  make(folder.file("own.db"), at(common, 40), here);
  make(folder.file("older.db"), at(common, 30), at(other, 31));
  make(folder.file("newer.db"), at(common, 50), at(other, 51));
  make(folder.file("still.db"), {}, at(common, 35));
  const Database live(folder.file("own.db"), Database::Mode::kReadOnly);
  for (const auto& [name, seq] :
       {std::pair{"older.db", 30U}, std::pair{"newer.db", 40U}, std::pair{"still.db", 35U}}) {
    const std::optional<Fork> fork = fork_of(live, here, folder.file(name));
    REQUIRE(fork);
    CHECK(fork->why.find("has never had") != std::string::npos);
    CHECK(fork->common == Seq{seq});
  }
}

TEST_CASE("install: while a reader holds a transaction, it sees the old state, then the new one") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const std::string path = folder.file("r.db");
  const auto replica = open_replica(path);
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  const Database reader(path, Database::Mode::kReadOnly);
  reader.exec("BEGIN");
  CHECK(count(reader) == 500);
  master.exec("DELETE FROM t WHERE id > 100");
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  CHECK(count(reader) == 500);
  CHECK(reader.query_text("SELECT v FROM t WHERE id = 500") == "value 500");
  reader.exec("COMMIT");
  CHECK(count(reader) == 100);
  CHECK(reader.query_text("PRAGMA integrity_check") == "ok");
  master.exec("DELETE FROM t WHERE id > 50");
  CHECK(follow(*replica, master).has_value());
  CHECK(count(reader) == 50);
}

TEST_CASE("install: nothing of the download or of the replica is lost by a restart in between") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const std::string path = folder.file("r.db");
  const HandMaster::Copy copy = master.copy();
  NodeId node;
  {
    const auto replica = open_replica(path);
    node = replica->state().node;
    CHECK(!replica->begin_download(copy.end.snapshot, copy.end.total, 4096));
    replica->write_chunk(0, ByteView(copy.bytes).first(5000));
  }
  const auto replica = open_replica(path);
  CHECK(replica->begin_download(copy.end.snapshot, copy.end.total, 4096));
  REQUIRE(take_copy(*replica, copy).has_value());
  CHECK(replica->state().node == node);
  CHECK(content_of(path) == content_of(master.db()));
}

TEST_CASE("install: a wrong hash or another place than announced, damaged and the old one stays") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const std::string path = folder.file("r.db");
  const auto replica = open_replica(path);
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  const std::string before = content_of(path);
  const Position position = master.meta().position;
  master.exec("DELETE FROM t");

  HandMaster::Copy copy = master.copy();
  copy.bytes[copy.bytes.size() / 2] ^= 1;
  Result<Applied> applied = take_copy(*replica, copy);
  REQUIRE(!applied);
  CHECK(applied.error().code == Errc::kDamaged);

  copy = master.copy();
  copy.end.position.seq = Seq{99};
  applied = take_copy(*replica, copy);
  REQUIRE(!applied);
  CHECK(applied.error().code == Errc::kDamaged);

  copy = master.copy();
  copy.bytes.assign(20'000, 7);
  copy.end.total = copy.bytes.size();
  copy.end.hash = hash128(copy.bytes);
  applied = take_copy(*replica, copy);
  REQUIRE(!applied);
  CHECK(applied.error().code == Errc::kDamaged);

  CHECK(content_of(path) == before);
  CHECK(replica->state().position == position);
  CHECK(!std::filesystem::exists(path + "-csa-copy"));
  CHECK(take_copy(*replica, master.copy()).has_value());
}

TEST_CASE("install: another database, group or an older generation, refused naming it") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const std::string path = folder.file("r.db");
  const auto replica = open_replica(path);
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  const std::string before = content_of(path);

  const Meta sound = master.meta();
  const auto refused = [&](const std::string& word) {
    const Result<Applied> applied = take_copy(*replica, master.copy());
    REQUIRE(!applied);
    CHECK(applied.error().code == Errc::kRefused);
    CHECK(applied.error().what.find(word) != std::string::npos);
    CHECK(content_of(path) == before);
    master.meta() = sound;
  };
  master.meta().db = DbId{random_id()};
  refused(to_string(sound.db));
  master.meta().group = "clinic";
  refused("clinic");
  master.meta().position.epoch.generation = 2;
  refused("generation 2");
}

TEST_CASE("install: a later generation, becomes the one that is never gone below") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  const std::string path = folder.file("r.db");
  auto replica = open_replica(path);
  master.meta().position.epoch.generation = 9;
  const Result<Applied> contradicts_itself = take_copy(*replica, master.copy());
  REQUIRE_FALSE(contradicts_itself.has_value());
  CHECK(contradicts_itself.error().what.find("csa_epoch") != std::string::npos);
  add_epoch(master.db(), {master.meta().position.epoch, {}, {}});
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  CHECK(replica->state().generation_seen == 9);
  replica.reset();
  replica = open_replica(path);
  CHECK(replica->state().generation_seen == 9);
}

TEST_CASE("install: another page size, the file is replaced and who opens it anew sees the copy") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema, "PRAGMA page_size=8192");
  const std::string path = folder.file("r.db");
  const auto replica = open_replica(path);
  const NodeId node = replica->state().node;
  const Database early(path, Database::Mode::kReadOnly);
  early.exec("BEGIN");
  CHECK(early.query_int("SELECT count(*) FROM csa_log") == 0);
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  CHECK(replica->state().node == node);
  const Database db(path, Database::Mode::kReadOnly);
  CHECK(db.query_int("PRAGMA page_size") == 8192);
  CHECK(content_of(path) == content_of(master.db()));
  CHECK(!std::filesystem::exists(path + "-csa-old"));
  CHECK(!std::filesystem::exists(path + "-csa-ready"));
  early.exec("COMMIT");
  master.exec("DELETE FROM t WHERE id > 10");
  CHECK(follow(*replica, master).has_value());
  CHECK(count(db) == 10);
}

TEST_CASE("install: another text encoding, the file is replaced") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema, "PRAGMA encoding='UTF-16le'");
  const std::string path = folder.file("r.db");
  const auto replica = open_replica(path);
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  const Database db(path, Database::Mode::kReadOnly);
  CHECK(db.query_text("PRAGMA encoding") == "UTF-16le");
  CHECK(db.query_text("SELECT v FROM t WHERE id = 500") == "value 500");
}

TEST_CASE("install: a crash between the steps of a replacement, the next start ends it") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema, "PRAGMA page_size=8192");
  const std::string path = folder.file("r.db");
  const std::string other = folder.file("other.db");
  CHECK(take_copy(*open_replica(other), master.copy()).has_value());
  for (const bool old_file_there : {true, false}) {
    if (old_file_there) (void)open_replica(path);
    if (!old_file_there) std::filesystem::remove(path);
    std::filesystem::copy_file(other, path + "-csa-ready");
    const auto replica = open_replica(path);
    CHECK(replica->state().position == master.meta().position);
    CHECK(content_of(path) == content_of(master.db()));
    CHECK(!std::filesystem::exists(path + "-csa-ready"));
  }
}

TEST_CASE("install: a large copy, its WAL space is given back") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  master.exec(
      "INSERT INTO t SELECT i, hex(zeroblob(500)) FROM (WITH RECURSIVE n(i) AS "
      "(SELECT 1001 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i FROM n)");
  const std::string path = folder.file("r.db");
  const auto replica = open_replica(path);
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  CHECK(std::filesystem::file_size(path) > 5 * limits::kMiB);
  CHECK(std::filesystem::file_size(path + "-wal") == 0);
}

}  // namespace csa::install_test
