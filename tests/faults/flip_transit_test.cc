// A bit of a full copy is wrong, on its way or in the broker's spool: it is fetched again, and
// never installed.
#include <doctest/doctest.h>

#include <filesystem>
#include <optional>

#include "common/sqlite.h"
#include "tests/faults/flips.h"
#include "tests/faults/injected.h"
#include "tests/faults/proxy.h"
#include "tests/support/compare.h"

namespace csa::fault_test::flip_transit_test {
namespace {

using std::chrono::seconds;
using system_test::eventually;
using system_test::kPatience;
using system_test::run;

constexpr const char* kShop =
    "CREATE TABLE document (id INTEGER PRIMARY KEY, body BLOB NOT NULL);"
    "CREATE INDEX document_size ON document (length(body));"
    "WITH n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
    "  INSERT INTO document SELECT i, randomblob(30000) FROM n;";
constexpr std::size_t kBytesAFlip = 200'000;
constexpr std::size_t kFlipsACopy = 12;

struct Shop {
  Place place;
  Ready ready;
  std::optional<Program> broker;

  Shop() {
    place.create(kShop);
    broker.emplace(place.serve(ready, {"--listen", "127.0.0.1"}));
    const auto saved = run(place.admin({"backup", place.file("before.db")}));
    REQUIRE_MESSAGE(saved.code == 0, saved.err);
  }
  void check_master() const {
    const Database before(place.file("before.db"), Database::Mode::kReadOnly);
    const Database now(place.master(), Database::Mode::kReadOnly);
    CHECK(test::difference(before, now) == "");
  }
};

std::optional<std::string> spool_in(const std::string& folder) {
  std::optional<std::string> newest;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".csa-spool") continue;
    if (!newest || entry.last_write_time() > std::filesystem::last_write_time(*newest)) {
      newest = entry.path().string();
    }
  }
  return newest;
}

// The first frame with a wrong bit is told, and what none of them met as the copy's hash is made.
bool has_noticed(const Program& node) {
  const std::string said = node.errors();
  return said.find("dropped a frame of the broker") != std::string::npos ||
         said.find("did not arrive whole") != std::string::npos;
}

}  // namespace

TEST_CASE("shown: flips: in a full copy on its way, it is noticed and fetched again") {
  const Shop shop;
  FlipTable table("a full copy on its way");
  std::size_t flipped = 0;
  for (int i = 0; i < flips_wanted(12); ++i) {
    CAPTURE(i);
    const std::string name = "joining-" + std::to_string(i) + ".db";
    {
      Proxy proxy(shop.ready, flip_seed() + static_cast<std::uint64_t>(i));
      proxy.set(Proxy::kDown, {.flip_each = kBytesAFlip});
      Program node(proxy.through(shop.place.node(name, {"run", "--log-level", "info"})));
      bool live = false;
      CHECK(eventually(
          [&] {
            live = live || node.line_with("state=live", std::chrono::milliseconds{50});
            return live || proxy.flipped() >= kFlipsACopy;
          },
          seconds{120}));
      proxy.set(Proxy::kDown, {});
      live = live || node.line_with("state=live", seconds{120}).has_value();
      CHECK_MESSAGE(live, node.errors());
      CHECK(whole_difference(shop.place, name, kPatience) == "");
      CHECK(own_difference(shop.place, name, shop.place.file(name)) == "");
      CHECK(proxy.flipped() > 0);
      const bool noticed = has_noticed(node);
      CHECK_MESSAGE(noticed, node.errors());
      flipped += proxy.flipped();
      table.add("copies", !live ? "never" : noticed ? "noticed, installed whole" : "in silence");
      node.signal(SIGTERM);
      CHECK(node.exit_code() == 0);
    }
  }
  MESSAGE(table.text() << "\n  " << flipped << " bits flipped on their way");
  shop.check_master();
}

TEST_CASE("shown: flips: in the broker's spool, the copy is cut anew and never installed") {
  const Shop shop;
  std::mt19937_64 random(flip_seed() + 30);
  FlipTable table("a spool at rest");
  { const Program first = shop.place.live_node("first.db"); }
  for (int i = 0; i < flips_wanted(12); ++i) {
    const std::optional<std::string> spool = spool_in(shop.place.folder());
    REQUIRE(spool);
    const std::uint64_t at = random() % std::filesystem::file_size(*spool);
    flip_bit(*spool, at, static_cast<unsigned>(random() % 8));
    CAPTURE(at);
    const std::string name = "later-" + std::to_string(i) + ".db";
    {
      const Program node = shop.place.live_node(name);
      CHECK(shop.place.difference_of(name) == "");
    }
    const bool anew = spool_in(shop.place.folder()) != spool;
    table.add("spools", anew ? "cut anew" : "not met");
  }
  MESSAGE(table.text());
  const bool told = shop.broker->errors().find("is not what was cut") != std::string::npos;
  CHECK(told == (table.count("cut anew") > 0));
  if (table.all() >= 10) CHECK(told);
  shop.check_master();
}

}  // namespace csa::fault_test::flip_transit_test
