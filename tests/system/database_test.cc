// Whole databases shared by three nodes that write at once, then compared cell by cell. The writes
// are lines of a file next to this one: $N is the number of the write, a line that begins with !
// must be rejected.
#include <doctest/doctest.h>

#include <fstream>
#include <thread>

#include "common/sqlite.h"
#include "tests/system/place.h"

namespace csa::system_test::database_test {
namespace {

using Status = WriteResult::Status;

constexpr std::size_t kNodes = 3;

std::string source(const std::string& name) {
  return std::string(CSA_SOURCE_DIR) + "/tests/system/" + name;
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
  return text;
}

struct Tally {
  std::size_t committed = 0;
  std::size_t rejected = 0;
  std::vector<std::string> wrong;  // answers that must not be
};

struct Written {
  std::string sql;
  bool must_fail = false;
};

class Writers {
 public:
  Writers(const std::string& file, std::size_t count) : count_(count) {
    std::ifstream in(source(file));
    for (std::string line; std::getline(in, line);) {
      if (!line.empty()) lines_.push_back(line);
    }
    REQUIRE(lines_.size() > 5);
  }

  // Each node makes every third write; all at once.
  Tally run(const std::vector<std::unique_ptr<Client>>& nodes) {
    std::vector<Tally> tallies(nodes.size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      threads.emplace_back([&, i] {
        for (std::size_t n = i; n < count_; n += nodes.size()) one(*nodes[i], n, tallies[i]);
      });
    }
    for (std::thread& thread : threads) thread.join();
    Tally all;
    for (const Tally& tally : tallies) {
      all.committed += tally.committed;
      all.rejected += tally.rejected;
      all.wrong.insert(all.wrong.end(), tally.wrong.begin(), tally.wrong.end());
    }
    return all;
  }

 private:
  [[nodiscard]] Written write(std::size_t n) const {
    const std::string& line = lines_[(n + n / lines_.size()) % lines_.size()];
    const bool must_fail = line[0] == '!';
    return {replaced(must_fail ? line.substr(1) : line, "$N", std::to_string(n)), must_fail};
  }

  void one(Client& node, std::size_t n, Tally& tally) const {
    const Written write_n = write(n);
    const WriteResult answer = node.exec(write_n.sql);
    const bool committed = answer.status == Status::kCommitted;
    const bool constraint = answer.status == Status::kRejected && answer.code == "constraint";
    if (committed) ++tally.committed;
    if (constraint) ++tally.rejected;
    if ((!committed && !constraint) || (committed && write_n.must_fail)) {
      tally.wrong.push_back(write_n.sql + ": " + answer.code + " " + answer.message);
    }
  }

  std::size_t count_;
  std::vector<std::string> lines_;
};

// The index of an FTS5 table against its content, and any problem the pages have.
std::string inner_damage(const std::string& file) {
  const std::string copy = file + "-checked";
  const Database db(copy, Database::Mode::kCreate);
  {
    // Page by page: VACUUM INTO of SQLite 3.40 fails on a virtual column before the key.
    const Database from(file, Database::Mode::kReadOnly);
    sqlite3_backup* const backup = sqlite3_backup_init(db.handle(), "main", from.handle(), "main");
    REQUIRE(backup != nullptr);
    CHECK(sqlite3_backup_step(backup, -1) == SQLITE_DONE);
    CHECK(sqlite3_backup_finish(backup) == SQLITE_OK);
  }
  try {
    Statement tables = db.prepare(
        "SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%fts5(%' AND sql NOT "
        "LIKE '%content='''')%'");
    while (tables.step()) {
      const std::string name = quote(tables.column_text(0));
      db.exec("INSERT INTO " + name + " (" + name + ") VALUES ('integrity-check')");
    }
  } catch (const SqliteError& error) {
    return error.what();
  }
  const std::string pages = db.query_text("PRAGMA integrity_check").value_or("nothing");
  return pages == "ok" ? "" : pages;
}

void share_and_write(const std::string& database, const std::string& writes, std::size_t count) {
  const Place place;
  place.adopt(database);
  Ready ready;
  Program broker = place.serve(ready);
  std::vector<std::unique_ptr<Client>> nodes;
  for (std::size_t i = 0; i < kNodes; ++i) {
    nodes.push_back(place.client("node-" + std::to_string(i) + ".db"));
    REQUIRE(nodes.back()->wait_for(ClientState::kLive, kPatience));
  }
  const Tally tally = Writers(writes, count).run(nodes);
  for (const std::string& wrong : tally.wrong) FAIL_CHECK(wrong);
  CHECK(tally.committed > count / 2);
  CHECK(tally.rejected > 0);
  // One that joins now gets a full copy; the others followed change by change.
  Program late = place.live_node("late.db");
  for (const std::string replica : {"node-0.db", "node-1.db", "node-2.db", "late.db"}) {
    CAPTURE(replica);
    CHECK(place.difference_of(replica) == "");
    CHECK(inner_damage(place.file(replica)) == "");
  }
  CHECK(inner_damage(place.master()) == "");
  for (const auto& node : nodes) CHECK(node->status().state == ClientState::kLive);
  MESSAGE(writes << ": " << tally.committed << " committed, " << tally.rejected
                 << " rejected; master and replicas equal in every cell, all whole");
}

std::string real_database() {
  const char* const named = std::getenv("CSA_TEST_DB");
  if (named != nullptr && *named != '\0') return named;
  return std::string(CSA_SOURCE_DIR) + "/../shared/data/chinook.sqlite";
}

void share_nasty(const std::string& name, std::size_t count) {
  const ScratchFolder folder;
  std::ifstream in(source(name + ".sql"));
  const std::string sql((std::istreambuf_iterator<char>(in)), {});
  REQUIRE_FALSE(sql.empty());
  run_sql(folder.file("nasty.db"), sql);
  share_and_write(folder.file("nasty.db"), name + ".writes.sql", count);
}

}  // namespace

TEST_CASE("shown: a real database with 1000 mixed writes from three nodes stays equal everywhere") {
  if (!std::filesystem::exists(real_database())) {
    MESSAGE("skipped: no real database; name one by CSA_TEST_DB (the writes are Chinook's)");
    return;
  }
  share_and_write(real_database(), "chinook.writes.sql", 1000);
}

TEST_CASE("shown: nasty keys and columns stay equal everywhere") {
  share_nasty("nasty_keys", 1000);
}

TEST_CASE("shown: triggers, cascades, views and virtual tables stay equal everywhere") {
  share_nasty("nasty_rules", 1000);
}

TEST_CASE("shown: a UTF-16 database stays equal everywhere") { share_nasty("nasty_utf16", 600); }

TEST_CASE("database: nasty schemas, a short run, stay equal everywhere") {
  share_nasty("nasty_keys", 150);
  share_nasty("nasty_rules", 150);
  share_nasty("nasty_utf16", 80);
}

}  // namespace csa::system_test::database_test
