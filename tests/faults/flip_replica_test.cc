// A bit of a replica's files is wrong, wherever: the node notices and heals it, or refuses and says
// what to do, or nothing that counts is in that place. Nobody else is touched.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>

#include "common/sqlite.h"
#include "tests/faults/flips.h"
#include "tests/faults/injected.h"
#include "tests/support/compare.h"

namespace csa::fault_test::flip_replica_test {
namespace {

using std::chrono::seconds;
using system_test::count_of;
using system_test::eventually;
using system_test::Finished;
using system_test::milliseconds;
using system_test::run;

constexpr const char* kShop = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, stock INTEGER);
  CREATE INDEX part_name ON part (name);
  CREATE UNIQUE INDEX part_stock ON part (stock, id);
  CREATE TABLE setting (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
  CREATE TABLE document (id INTEGER PRIMARY KEY, body BLOB);
  CREATE VIRTUAL TABLE note USING fts5 (text);
  INSERT INTO note VALUES ('call the smith');
  WITH n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
    INSERT INTO part SELECT i, 'needle number ' || i, i FROM n;
  INSERT INTO setting SELECT name, stock FROM part WHERE id < 500;
  INSERT INTO document SELECT id, randomblob(9000) FROM part WHERE id <= 40;
  DELETE FROM document WHERE id % 2 = 0;
)";

// A desk that is live, and a till whose replica, a little behind, is what bits are flipped in.
class Shop {
 public:
  // Left as after a kill -9: what was applied last is in its -wal.
  explicit Shop(bool with_wal) {
    place_.create(kShop);
    broker_.emplace(place_.serve(ready_));
    const Finished rule = run(place_.admin({"rule", "set", "part", "merge"}));
    REQUIRE_MESSAGE(rule.code == 0, rule.err);
    desk_.emplace(place_.live_node("desk.db", {"--verify-every", "0s"}));
    {
      Program till = place_.live_node("till.db", {"--verify-every", "0s"});
      write(0, 20);
      // Free pages.
      REQUIRE(place_.exec("desk.db", "DELETE FROM document WHERE id % 3 = 0")["status"] ==
              "committed");
      REQUIRE(place_.difference_of("till.db") == "");
      if (with_wal) {
        till.kill();
      } else {
        till.signal(SIGTERM);
        REQUIRE(till.exit_code() == 0);
      }
    }
    kept_.emplace(place_.file("till.db"));
    write(20, 30);
    const Finished saved = run(place_.admin({"backup", place_.file("before.db")}));
    REQUIRE_MESSAGE(saved.code == 0, saved.err);
  }

  // What became of the replica as it is now; `meddle` once it is live.
  [[nodiscard]] std::string outcome(const std::function<void()>& meddle = {}) const;
  // Whom it is no business of.
  void check_others() const {
    CHECK(whole_difference(place_, "desk.db", seconds{20}) == "");
    CHECK(own_difference(place_, "desk.db", place_.file("desk.db")) == "");
    const Database before(place_.file("before.db"), Database::Mode::kReadOnly);
    const Database now(place_.master(), Database::Mode::kReadOnly);
    CHECK(test::difference(before, now) == "");
    CHECK(count_of(place_.master(), "SELECT count(*) FROM csa_lost") == 0);
    CHECK(count_of(place_.master(), "SELECT count(*) FROM csa_inbox") == 0);
  }
  [[nodiscard]] const Place& place() const { return place_; }
  [[nodiscard]] std::string till() const { return place_.file("till.db"); }
  [[nodiscard]] const KeptFiles& kept() const { return *kept_; }

 private:
  void write(int from, int to) const {
    for (int i = from; i < to; ++i) {
      const std::string n = std::to_string(i);
      const nlohmann::json done = place_.exec(
          "desk.db", "UPDATE part SET stock = stock + 10000 WHERE id % 30 = " + n +
                         "; INSERT INTO document (body) VALUES (zeroblob(" + n + "00))");
      REQUIRE(done["status"] == "committed");
    }
  }
  [[nodiscard]] bool is_verified() const {
    return run(place_.admin({"verify"}), seconds{60}).code == 0;
  }

  Place place_;
  Ready ready_;
  std::optional<Program> broker_, desk_;
  std::optional<KeptFiles> kept_;
};

bool has_noticed(const std::string& errors) {
  return errors.find("differed from the master") != std::string::npos ||
         errors.find("full copy installed") != std::string::npos;
}

std::string Shop::outcome(const std::function<void()>& meddle) const {
  const Words words = {"run", "--verify-every", "0s", "--log-level", "info"};
  std::optional<Program> node(std::in_place, place_.node("till.db", words));
  std::string refused;
  bool live = node->line_with("state=live", seconds{20}).has_value();
  if (!live && node->exit_code(seconds{2})) {
    const std::string why = node->errors();
    if (!says_what_to_do(why)) return "refused without a way out: " + why;
    CHECK_MESSAGE(node->exit_code() == 7, why);
    refused = do_as_told(why, till()) ? "refused" : "refused, its command with an error";
    node.emplace(place_.node("till.db", words));
    live = node->line_with("state=live", seconds{20}).has_value();
  }
  if (!live) {
    // By the name of its database, which only the broker knows better.
    const bool told = node->errors().find("Use another --replica file") != std::string::npos;
    return told ? "refused by the broker" : "stuck: " + node->errors();
  }
  if (meddle) meddle();
  if (!eventually([this] { return is_verified(); }, seconds{40})) {
    return "not healed: " + run(place_.admin({"verify"})).out + node->errors();
  }
  node->signal(SIGTERM);
  if (node->exit_code() != 0) return "ended with an error: " + node->errors();
  const std::string difference = whole_difference(place_, "till.db", seconds{5});
  if (!difference.empty()) return "unnoticed: " + difference + node->errors();
  // Of a file moved away nothing is left.
  const std::string own = !refused.empty() ? "" : own_difference(place_, "till.db", kept_->copy());
  if (!own.empty()) return "unnoticed: " + own;
  if (!refused.empty()) return refused;
  if (node->errors().find("put right") != std::string::npos) return "put right";
  return has_noticed(node->errors()) ? "healed" : "harmless";
}

const std::set<std::string> kGood{"refused", "refused by the broker", "healed", "put right",
                                  "harmless"};

void show(const FlipTable& table) { MESSAGE(table.text()); }

// Of so many flips some are noticed, by a wide margin: two of three in rows and in the log, one of
// three in indexes.
void check_healed(const FlipTable& table) {
  const auto healed_in = [&](const char* part) {
    CHECK_MESSAGE(table.count(part, "healed") > 0, part);
  };
  if (table.all() >= 18) CHECK(table.count("healed") > 0);
  if (table.all() >= 48) healed_in("table");
  if (table.all() >= 48) healed_in("log");
  if (table.all() >= 96) healed_in("index");
}

}  // namespace

TEST_CASE("fault: what csa keeps beside the rows is wrong in a replica, the comparison says so") {
  const Shop shop(false);
  REQUIRE(shop.outcome() == "harmless");
  const KeptFiles equal(shop.till());
  const auto wrong_by = [&](const char* sql) {
    equal.put_back();
    CHECK(whole_difference(shop.place(), "till.db", milliseconds{0}) == "");
    CHECK(own_difference(shop.place(), "till.db", equal.copy()) == "");
    system_test::run_sql(shop.till(), sql);
  };
  for (const char* const wrong : {
           "DELETE FROM csa_log WHERE part_id = (SELECT max(part_id) FROM csa_log)",
           "UPDATE csa_meta SET value = value + 1 WHERE key = 'seq'",
           "UPDATE csa_rule SET rule = 'newest'",
       }) {
    CAPTURE(wrong);
    wrong_by(wrong);
    CHECK(whole_difference(shop.place(), "till.db", milliseconds{0}) != "");
  }
  for (const char* const wrong : {
           "UPDATE csa_epoch SET parent_seq = parent_seq + 1",
           "UPDATE csa_layout SET json = json || ' '",
           "UPDATE csa_outcome SET changes = changes + 1",
           "DELETE FROM csa_outcome",
           "UPDATE csa_outcome_floor SET counter = counter + 1",
           "UPDATE csa_meta SET value = value + 1 WHERE key = 'schema_version'",
           "UPDATE csa_private SET value = value || ' ' WHERE key = 'group'",
       }) {
    CAPTURE(wrong);
    wrong_by(wrong);
    CHECK(own_difference(shop.place(), "till.db", equal.copy()) != "");
  }
}

TEST_CASE("shown: flips: anywhere in a stopped node's replica, healed or refused") {
  const Shop shop(false);
  std::mt19937_64 random(flip_seed());
  const FileParts parts(shop.kept().copy());
  FlipTable table("a stopped node's replica");
  for (int i = 0; i < flips_wanted(120); ++i) {
    const std::string part = FileParts::kAll.at(static_cast<std::size_t>(i) % 6);
    shop.kept().put_back();
    const std::uint64_t at = parts.pick(part, random);
    const auto bit = static_cast<unsigned>(random() % 8);
    REQUIRE((at != 0 || part == "header"));
    flip_bit(shop.till(), at, bit);
    CAPTURE(part);
    CAPTURE(at);
    CAPTURE(bit);
    const std::string outcome = shop.outcome();
    CHECK_MESSAGE(kGood.contains(outcome), outcome);
    table.add(part, outcome.substr(0, outcome.find(':')));
  }
  show(table);
  check_healed(table);
  shop.check_others();
}

TEST_CASE("shown: flips: in csa's own tables of a replica, healed or refused") {
  const Shop shop(false);
  const FileParts parts(shop.kept().copy());
  const std::vector<std::string> tables = parts.own_tables();
  REQUIRE(std::ranges::find(tables, "csa_rule") != tables.end());
  constexpr std::uint64_t kSeeds = 4;
  FlipTable table("csa's own tables of a stopped node's replica");
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    std::mt19937_64 random(flip_seed() + 40 + seed);
    for (int i = 0; i < flips_wanted(48); ++i) {
      const std::string& own = tables.at(random() % tables.size());
      shop.kept().put_back();
      const std::uint64_t at = parts.pick_used(own, random);
      const auto bit = static_cast<unsigned>(random() % 8);
      flip_bit(shop.till(), at, bit);
      CAPTURE(own);
      CAPTURE(at);
      CAPTURE(bit);
      const std::string outcome = shop.outcome();
      CHECK_MESSAGE(kGood.contains(outcome), outcome);
      table.add(own, outcome.substr(0, outcome.find(':')));
    }
  }
  show(table);
  shop.check_others();
}

TEST_CASE("shown: flips: in a replica's file while the node runs, healed") {
  const Shop shop(false);
  std::mt19937_64 random(flip_seed() + 1);
  const FileParts parts(shop.kept().copy());
  FlipTable table("a running node's replica");
  for (int i = 0; i < flips_wanted(48); ++i) {
    const std::string part = FileParts::kAll.at(static_cast<std::size_t>(i) % 6);
    shop.kept().put_back();
    const std::uint64_t at = parts.pick(part, random);
    const auto bit = static_cast<unsigned>(random() % 8);
    CAPTURE(part);
    CAPTURE(at);
    CAPTURE(bit);
    const std::string outcome = shop.outcome([&] { flip_bit(shop.till(), at, bit); });
    CHECK_MESSAGE(kGood.contains(outcome), outcome);
    table.add(part, outcome.substr(0, outcome.find(':')));
  }
  show(table);
  check_healed(table);
  shop.check_others();
}

TEST_CASE("shown: flips: in a killed node's -wal, put right") {
  const Shop shop(true);
  std::mt19937_64 random(flip_seed() + 2);
  const std::uint64_t size = std::filesystem::file_size(shop.kept().copy() + "-wal");
  FlipTable table("a killed node's -wal");
  for (int i = 0; i < flips_wanted(40); ++i) {
    shop.kept().put_back();
    const std::uint64_t at = i % 8 == 0 ? random() % 56 : random() % size;
    const auto bit = static_cast<unsigned>(random() % 8);
    flip_bit(shop.till() + "-wal", at, bit);
    CAPTURE(at);
    CAPTURE(bit);
    const std::string outcome = shop.outcome();
    CHECK_MESSAGE(kGood.contains(outcome), outcome);
    table.add(i % 8 == 0 ? "header" : "anywhere", outcome.substr(0, outcome.find(':')));
  }
  show(table);
  if (table.all() >= 10) CHECK(table.count("put right") > 0);
  shop.check_others();
}

}  // namespace csa::fault_test::flip_replica_test
