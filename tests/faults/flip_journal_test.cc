// A bit of what an offline node has journaled is wrong: on its return that is named and kept, and
// what is merged is what was written.
#include <doctest/doctest.h>

#include <filesystem>
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
  [[nodiscard]] bool journal_is_kept() const {
    const std::string& here = till();
    return std::filesystem::file_size(here) >= std::filesystem::file_size(kept().copy());
  }

  Place place_;
  mutable Ready ready_;
  std::optional<KeptFiles> till_, master_;
};

std::string Shop::outcome() const {
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
  if (outcome.starts_with("refused")) {
    CHECK_MESSAGE(journal_is_kept(), outcome);
  } else if (there != kEntries && node.errors().find("where it is kept") != std::string::npos) {
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
