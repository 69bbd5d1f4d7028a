// A bit of the master's log is wrong: whoever asks for that entry gets a full copy and is told, the
// broker says what to do, and a merge that would have to know it decides nothing in silence.
#include <doctest/doctest.h>

#include <filesystem>
#include <optional>
#include <set>

#include "common/sqlite.h"
#include "tests/faults/flips.h"
#include "tests/faults/injected.h"
#include "tests/support/compare.h"

namespace csa::fault_test::flip_log_test {
namespace {

using std::chrono::seconds;
using system_test::count_of;
using system_test::eventually;
using system_test::milliseconds;
using system_test::run;

constexpr int kEdits = 24;
constexpr int kContested = 7;  // by a till that is away, before the desk's edit
constexpr const char* kShop =
    "CREATE TABLE part (id INTEGER PRIMARY KEY, text TEXT);"
    "WITH n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 60)"
    "  INSERT INTO part SELECT i, 'of the beginning' FROM n;";

std::string desk_text(int id) { return std::string(200, static_cast<char>('a' + id % 26)); }

void stop(Program& program) {
  program.signal(SIGTERM);
  REQUIRE(program.exit_code() == 0);
}

class Shop {
 public:
  Shop() {
    place_.create(kShop);
    Ready ready;
    std::optional<Program> broker(std::in_place, place_.serve(ready));
    std::optional<Program> till(std::in_place,
                                place_.live_node("till.db", {"--discovery-timeout", "100ms"}));
    Program desk = place_.live_node("desk.db");
    REQUIRE(place_.difference_of("till.db") == "");
    stop(*broker);
    REQUIRE(till->line_with("state=standalone"));
    const std::string edit =
        "UPDATE part SET text = 'of the till' WHERE id = " + std::to_string(kContested);
    REQUIRE(place_.exec("till.db", edit)["status"] == "journaled");
    stop(*till);
    broker.emplace(place_.serve(ready));
    REQUIRE(desk.line_with("state=live"));
    for (int id = 1; id <= kEdits; ++id) {
      REQUIRE(place_.exec("desk.db", "UPDATE part SET text = '" + desk_text(id) + "' WHERE id = " +
                                         std::to_string(id))["status"] == "committed");
    }
    stop(desk);
    stop(*broker);
    till_.emplace(place_.file("till.db"));
    master_.emplace(place_.master());
  }
  void put_back() const {
    till_->put_back();
    master_->put_back();
  }
  [[nodiscard]] std::string outcome() const;
  [[nodiscard]] const std::string& master() const { return place_.master(); }
  [[nodiscard]] const KeptFiles& kept() const { return *master_; }

 private:
  // Empty: every row of the master is what was written last, but for the contested one, which is so
  // or lies in the inbox with its versions.
  [[nodiscard]] std::string wrong_rows() const {
    const Database db(place_.master(), Database::Mode::kReadOnly);
    Statement row = db.prepare("SELECT text FROM part WHERE id = ?1");
    for (int id = 1; id <= kEdits; ++id) {
      row.bind(1, std::int64_t{id});
      REQUIRE(row.step());
      const std::string text = row.column_text(0);
      row.reset();
      const bool contested = id == kContested && text == "of the till";
      if (text != desk_text(id) && !contested) return "row " + std::to_string(id) + " is " + text;
    }
    if (db.query_int("SELECT count(*) FROM csa_conflicts WHERE table_name = 'part'") == 0) {
      return "a conflict was decided in silence";
    }
    return "";
  }

  Place place_;
  std::optional<KeptFiles> till_, master_;
};

std::string Shop::outcome() const {
  Program broker(place_.broker({"serve", "--port", "0"}));
  if (!broker.line_with("csa-broker: ready")) {
    const bool told =
        broker.exit_code() == 7 && broker.errors().find("csa-broker restore") != std::string::npos;
    return told ? "broker refuses" : "broker ends without a way out: " + broker.errors();
  }
  Program till(place_.node("till.db", {"run", "--log-level", "info", "--verify-every", "0s"}));
  const bool live = eventually([&] {
    return till.line_with("state=live", milliseconds{100}) || broker.exit_code(milliseconds{0});
  });
  if (const std::optional<int> ended = broker.exit_code(milliseconds{0})) {
    const bool told = *ended == 7 && broker.errors().find("amaged") != std::string::npos;
    return told ? "broker ends, told"
                : "broker ends with " + std::to_string(*ended) + ": " + broker.errors();
  }
  if (!live) return "stuck: " + till.errors() + broker.errors();
  if (!eventually([&] { return run(place_.admin({"verify"}), seconds{60}).code == 0; })) {
    return "not equal: " + run(place_.admin({"verify"})).out + till.errors() + broker.errors();
  }
  std::string difference = whole_difference(place_, "till.db", seconds{10});
  if (difference.empty()) difference = own_difference(place_, "till.db", till_->copy());
  stop(till);
  stop(broker);
  if (!difference.empty()) return "differs: " + difference;
  if (const std::string wrong = wrong_rows(); !wrong.empty()) return "wrong: " + wrong;
  const bool told = broker.errors().find("is not what was written") != std::string::npos;
  const bool copied = till.errors().find("full copy installed") != std::string::npos;
  if (copied && !told) return "full copy, broker silent: " + till.errors() + broker.errors();
  if (copied) return "told, full copy";
  return told ? "told" : "harmless";
}

const std::set<std::string> kGood{"broker refuses", "broker ends, told", "told, full copy", "told",
                                  "harmless"};

}  // namespace

TEST_CASE("shown: flips: in the master's log, a full copy instead of it, and the broker says so") {
  const Shop shop;
  std::mt19937_64 random(flip_seed() + 20);
  const FileParts parts(shop.kept().copy());
  FlipTable table("the master's log");
  for (int i = 0; i < flips_wanted(60); ++i) {
    shop.put_back();
    const std::uint64_t at = parts.pick("log", random);
    const auto bit = static_cast<unsigned>(random() % 8);
    REQUIRE(at != 0);
    flip_bit(shop.master(), at, bit);
    CAPTURE(at);
    CAPTURE(bit);
    const std::string outcome = shop.outcome();
    const std::string name = outcome.substr(0, outcome.find(':'));
    CHECK_MESSAGE(kGood.contains(name), outcome);
    table.add("log", name);
  }
  MESSAGE(table.text());
  if (table.all() >= 10) CHECK(table.count("told, full copy") > 0);
}

TEST_CASE(
    "shown: flips: in the -wal of a killed broker, every answered write is there or it is "
    "refused") {
  const Place place;
  place.create(kShop);
  Ready ready;
  {
    Program broker = place.serve(ready);
    const Program till = place.live_node("till.db");
    for (int id = 1; id <= kEdits; ++id) {
      REQUIRE(place.exec("till.db", "UPDATE part SET text = '" + desk_text(id) + "' WHERE id = " +
                                        std::to_string(id))["status"] == "committed");
    }
    broker.kill();
  }
  const KeptFiles kept(place.master());
  const std::uint64_t size = std::filesystem::file_size(kept.copy() + "-wal");
  std::mt19937_64 random(flip_seed() + 21);
  FlipTable table("a killed broker's -wal");
  for (int i = 0; i < flips_wanted(60); ++i) {
    kept.put_back();
    const std::uint64_t at = i % 6 == 0 ? random() % 56 : random() % size;
    const auto bit = static_cast<unsigned>(random() % 8);
    flip_bit(place.master() + "-wal", at, bit);
    CAPTURE(at);
    CAPTURE(bit);
    Program broker(place.broker({"serve", "--port", "0"}));
    if (!broker.line_with("csa-broker: ready")) {
      CHECK(broker.exit_code() == 7);
      const bool way_out = broker.errors().find("--from REPLICA") != std::string::npos;
      CHECK_MESSAGE(way_out, broker.errors());
      table.add("-wal", "refused");
      continue;
    }
    const Database db(place.master(), Database::Mode::kReadOnly);
    int there = 0;
    for (int id = 1; id <= kEdits; ++id) {
      there += static_cast<int>(
          db.query_int("SELECT count(*) FROM part WHERE id = " + std::to_string(id) +
                       " AND text = '" + desk_text(id) + "'")
              .value_or(0));
    }
    CHECK_MESSAGE(there == kEdits, broker.errors());
    const bool told = broker.errors().find("put right") != std::string::npos;
    CHECK_MESSAGE(told, broker.errors());
    table.add("-wal", there != kEdits ? "lost" : told ? "put right" : "silent");
    stop(broker);
  }
  MESSAGE(table.text());
}

}  // namespace csa::fault_test::flip_log_test
