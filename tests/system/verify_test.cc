// A replica that was changed behind csa's back, or whose file has lost a bit: noticed, named,
// healed.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/system/place.h"

namespace csa::system_test::verify_test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kShop = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, stock INTEGER);
  CREATE TABLE setting (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
  CREATE VIRTUAL TABLE note USING fts5 (text);
  INSERT INTO setting VALUES ('colour', 'red');
  INSERT INTO note VALUES ('call the smith');
  WITH n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
    INSERT INTO part SELECT i, 'needle number ' || i, i FROM n;
)";

struct Verdict {
  int code = -1;
  nlohmann::json json;
};
Verdict verify(const Place& place) {
  const Finished done = run(place.admin({"verify", "--json"}));
  INFO(done.err << done.out);
  return {done.code, nlohmann::json::parse(done.out, nullptr, false)};
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The rows that differed, as the node has written them down.
std::string differing_rows(const Place& place) {
  std::string all;
  for (const auto& entry : fs::directory_iterator(place.folder())) {
    const std::string name = entry.path().filename().string();
    if (name.find("-differing-") != std::string::npos) all += content_of(entry.path().string());
  }
  return all;
}

void stop(Program& node) {
  node.signal(SIGTERM);
  REQUIRE(node.exit_code() == 0);
}

}  // namespace

TEST_CASE("verify: rows changed behind csa's back are named by key, kept aside and put right") {
  Place place;
  place.create(kShop);
  Ready ready;
  const Program broker = place.serve(ready);
  const Program desk = place.live_node("desk.db", {"--verify-every", "0s"});
  {
    Program till = place.live_node("till.db", {"--verify-every", "0s"});
    (void)place.exec("till.db", "UPDATE part SET stock = 5 WHERE id < 100");
    const Verdict equal = verify(place);
    const Finished nowhere = run(place.admin({"verify", "--table", "nowhere"}));
    CHECK(nowhere.code == 1);
    CHECK(nowhere.err.find("there is no table nowhere") != std::string::npos);
    CHECK_MESSAGE(equal.code == 0, equal.json.dump(1));
    REQUIRE(equal.json["nodes"].size() == 2);
    CHECK(equal.json["nodes"][0]["equal"] == true);
    CHECK(equal.json["nodes"][1]["tables"].empty());
    stop(till);
  }
  run_sql(place.file("till.db"),
          "UPDATE part SET stock = 999 WHERE id IN (7, 9); DELETE FROM part WHERE id = 8;"
          "UPDATE setting SET value = 'blue'");
  const Program till = place.live_node("till.db", {"--verify-every", "0s"});
  const Verdict found = verify(place);
  CHECK_MESSAGE(found.code == 1, found.json.dump(1));
  REQUIRE(found.json["nodes"].size() == 2);
  int differing = 0;
  for (const auto& node : found.json["nodes"]) {
    if (node["equal"] == true) continue;
    ++differing;
    for (const auto& table : node["tables"]) {
      if (table["table"] == "part") {
        CHECK(table["rows"] == 3);
        CHECK(table["from"] == nlohmann::json{7});
        CHECK(table["to"] == nlohmann::json{9});
      } else {
        CHECK(table["table"] == "setting");
        CHECK(table["from"] == nlohmann::json{"colour"});
      }
    }
    CHECK(node["tables"].size() == 2);
  }
  CHECK(differing == 1);
  CHECK(eventually([&] { return verify(place).code == 0; }));
  CHECK(place.difference_of("till.db") == "");
  const std::string rows = differing_rows(place);
  CHECK_MESSAGE(rows.find("VALUES (7, 'needle number 7', 999);") != std::string::npos, rows);
  CHECK(rows.find("'blue'") != std::string::npos);
}

TEST_CASE(
    "verify: a bit that is lost in a replica's file is found by the node itself, and healed") {
  Place place;
  place.create(kShop);
  Ready ready;
  const Program broker = place.serve(ready);
  const std::string replica = place.file("till.db");
  {
    Program till = place.live_node("till.db");
    stop(till);
  }
  const std::string needle = "needle number 1234";
  const std::string content = content_of(replica);
  const std::size_t place_of_needle = content.find(needle);
  REQUIRE(place_of_needle != std::string::npos);
  {
    std::fstream file(replica, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(place_of_needle));
    file.put('o');  // for an n: one bit
  }
  const Program till = place.live_node("till.db", {"--verify-every", "1s"});
  CHECK(eventually(
      [&] { return differing_rows(place).find("'oeedle number 1234'") != std::string::npos; }));
  CHECK(eventually([&] { return verify(place).code == 0; }));
  CHECK(place.difference_of("till.db") == "");
  CHECK(count_of(place.master(), "SELECT count(*) FROM part WHERE name LIKE 'oeedle%'") == 0);
}

}  // namespace csa::system_test::verify_test
