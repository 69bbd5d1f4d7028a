// A bit of what an offline node has journaled is wrong: on its return that is named and kept, and
// what is merged is what was written.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

#include "common/sqlite.h"
#include "tests/faults/flips.h"
#include "tests/faults/injected.h"

namespace csa::fault_test::flip_journal_test {
namespace {

using std::chrono::seconds;
using system_test::count_of;
using system_test::Finished;
using system_test::milliseconds;
using system_test::run;

constexpr int kEntries = 8;
constexpr const char* kShop =
    "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT);"
    "INSERT INTO part VALUES (1, 'first', 'of all');";

std::string statement(int i) {
  return "INSERT INTO part VALUES (" + std::to_string(100 + i) + ", 'offline " + std::to_string(i) +
         "', '" + std::string(300, static_cast<char>('a' + i)) + "')";
}

std::string bytes_in(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

using Rows = std::set<std::string>;

// What can be read of a table of the journal.
void read_rows(const Database& db, const std::string& sql, Rows& rows) try {
  Statement all = db.prepare(sql);
  while (all.step()) rows.insert(sql + ": " + all.column_text(0));
} catch (const SqliteError& error) {
  CHECK_MESSAGE(error.primary_code() == SQLITE_CORRUPT, error.what());
}

// The journal of a file as it is now, without what was answered of it.
Rows journal_of(const std::string& path) {
  Rows rows;
  try {
    const Database db(path, Database::Mode::kReadOnly);
    read_rows(db,
              "SELECT entry || ' ' || hex(header) || ' ' || hex(checksum) FROM csa_journal"
              " NOT INDEXED ORDER BY entry",
              rows);
    read_rows(db,
              "SELECT part_id || ' ' || hex(body) FROM csa_journal_part NOT INDEXED"
              " ORDER BY part_id",
              rows);
  } catch (const SqliteError& error) {
    CHECK_MESSAGE((error.primary_code() == SQLITE_CORRUPT || error.primary_code() == SQLITE_NOTADB),
                  error.what());
  }
  return rows;
}

// The journal of the till's files, which are not opened themselves: that leaves traces.
Rows journal_of_copy(const std::string& till) {
  const std::string copy = till + ".kept.flipped";
  for (const char* const suffix : {"", "-wal", "-shm"}) {
    std::filesystem::remove(copy + suffix);
    if (suffix == std::string("-shm") || !std::filesystem::exists(till + suffix)) continue;
    std::filesystem::copy_file(till + suffix, copy + suffix);
  }
  return journal_of(copy);
}

// A till that was left with a journal, the broker away.
class Shop {
 public:
  explicit Shop(bool killed) {
    place_.create(kShop);
    {
      Program broker = place_.serve(ready_);
      Program till = place_.live_node("till.db");
      REQUIRE(place_.difference_of("till.db") == "");
      for (Program* const one : {&till, &broker}) {
        one->signal(SIGTERM);
        REQUIRE(one->exit_code() == 0);
      }
    }
    Program till(place_.node("till.db", {"run", "--discovery-timeout", "100ms"}));
    REQUIRE(till.line_with("state=standalone"));
    for (int i = 0; i < kEntries; ++i) {
      REQUIRE(place_.exec("till.db", statement(i))["status"] == "journaled");
    }
    if (killed) {
      till.kill();
    } else {
      till.signal(SIGTERM);
      REQUIRE(till.exit_code() == 0);
    }
    till_.emplace(place_.file("till.db"));
    REQUIRE(journal_of_copy(place_.file("till.db")).size() >= 2 * kEntries);
    master_.emplace(place_.master());
  }
  void put_back() const {
    till_->put_back();
    master_->put_back();
  }
  [[nodiscard]] std::string outcome() const;
  [[nodiscard]] std::string till() const { return place_.file("till.db"); }
  [[nodiscard]] const KeptFiles& kept() const { return *till_; }

 private:
  // How many of the offline rows the master has, none of which is another than was written.
  [[nodiscard]] int merged() const {
    const Database db(place_.master(), Database::Mode::kReadOnly);
    int count = 0;
    for (int i = 0; i < kEntries; ++i) {
      Statement row = db.prepare("SELECT name, text FROM part WHERE id = ?1");
      row.bind(1, std::int64_t{100 + i});
      if (!row.step()) continue;
      CHECK(row.column_text(0) == "offline " + std::to_string(i));
      CHECK(row.column_text(1) == std::string(300, static_cast<char>('a' + i)));
      ++count;
    }
    CHECK(count_of(place_.master(), "SELECT count(*) FROM part") == 1 + count);
    CHECK(count_of(place_.master(), "SELECT count(*) FROM csa_inbox") == 0);
    return count;
  }
  // All that can be read of it in the file as it was flipped is there, and the file whole.
  void check_kept(const Rows& flipped) const {
    CHECK(std::filesystem::file_size(till()) >= std::filesystem::file_size(kept().copy()));
    const Rows now = journal_of(till());
    CHECK(std::includes(now.begin(), now.end(), flipped.begin(), flipped.end()));
  }

  Place place_;
  mutable Ready ready_;
  std::optional<KeptFiles> till_, master_;
};

std::string Shop::outcome() const {
  const Rows flipped = journal_of_copy(till());
  const std::string flipped_file = bytes_in(till());
  const std::string flipped_wal = bytes_in(till() + "-wal");
  Program broker = place_.serve(ready_);
  Program node(place_.node("till.db", {"run", "--log-level", "info", "--verify-every", "0s"}));
  std::optional<std::string> line;
  while ((line = node.line(seconds{20}))) {
    if (line->find("state=live") != std::string::npos) break;
    if (line->find("state=refused") != std::string::npos) break;
  }
  std::string outcome;
  if (!line) {
    const bool ended = node.exit_code(seconds{2}) == 7;
    outcome = ended && says_what_to_do(node.errors()) ? "refused at the start"
                                                      : "stuck: " + node.errors();
  } else if (line->find("state=refused") != std::string::npos) {
    const std::string why = node.errors();
    const bool told = why.find("is damaged") != std::string::npos &&
                      why.find("move the file away") != std::string::npos;
    outcome = told ? "refused, named" : "refused without a reason: " + why;
  } else {
    const std::string difference = place_.difference_of("till.db");
    outcome = difference.empty() ? "handed over" : "differs: " + difference;
    if (node.errors().find("put right") != std::string::npos) outcome = "-wal put right";
    if (node.errors().find("full copy installed") != std::string::npos) outcome = "healed";
  }
  node.signal(SIGTERM);
  (void)node.exit_code();
  broker.signal(SIGTERM);
  CHECK(broker.exit_code() == 0);
  const int there = merged();
  const bool wal_kept = node.errors().find("where it is kept") != std::string::npos;
  if (wal_kept) {
    const std::string kept = till() + "-wal-damaged";
    CHECK(node.errors().find(kept) != std::string::npos);
    CHECK((!flipped_wal.empty() && bytes_in(kept) == flipped_wal));
  }
  if (outcome.starts_with("refused")) {
    CAPTURE(outcome);
    check_kept(flipped);
    if (outcome == "refused at the start") CHECK(bytes_in(till()) == flipped_file);
  } else if (there != kEntries && wal_kept) {
    outcome = "told, -wal kept";
  } else if (there != kEntries) {
    outcome = "lost " + std::to_string(kEntries - there) + ", " + outcome + ": " + node.errors();
  }
  return outcome;
}

const std::set<std::string> kGood{"refused at the start", "refused, named", "handed over",
                                  "-wal put right",       "healed",         "told, -wal kept"};

}  // namespace

TEST_CASE("shown: flips: in the journal of a stopped node, refused and kept, or handed over") {
  const Shop shop(false);
  std::mt19937_64 random(flip_seed() + 10);
  const FileParts parts(shop.kept().copy());
  FlipTable table("a stopped node's journal");
  for (int i = 0; i < flips_wanted(80); ++i) {
    shop.put_back();
    const std::uint64_t at = parts.pick("journal", random);
    const auto bit = static_cast<unsigned>(random() % 8);
    REQUIRE(at != 0);
    flip_bit(shop.till(), at, bit);
    CAPTURE(at);
    CAPTURE(bit);
    const std::string outcome = shop.outcome();
    CHECK_MESSAGE(kGood.contains(outcome), outcome);
    table.add("journal", outcome.substr(0, outcome.find(':')));
  }
  MESSAGE(table.text());
}

TEST_CASE(
    "shown: flips: in the -wal that holds a killed node's journal, put right or told and kept") {
  const Shop shop(true);
  std::mt19937_64 random(flip_seed() + 11);
  const std::string wal = shop.till() + "-wal";
  const std::uint64_t size = std::filesystem::file_size(shop.kept().copy() + "-wal");
  FlipTable table("a -wal with a journal");
  for (int i = 0; i < flips_wanted(60); ++i) {
    shop.put_back();
    const std::uint64_t at = i % 6 == 0 ? random() % 56 : random() % size;
    const auto bit = static_cast<unsigned>(random() % 8);
    flip_bit(wal, at, bit);
    CAPTURE(at);
    CAPTURE(bit);
    const std::string outcome = shop.outcome();
    CHECK_MESSAGE(kGood.contains(outcome), outcome);
    table.add(i % 6 == 0 ? "header" : "anywhere", outcome.substr(0, outcome.find(':')));
  }
  MESSAGE(table.text());
  if (table.all() >= 10) CHECK(table.count("-wal put right") > 0);
}

}  // namespace csa::fault_test::flip_journal_test
