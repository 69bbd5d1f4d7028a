// The inbox and the rules, as a person at the broker's computer uses them.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>

#include "common/sqlite.h"
#include "tests/system/place.h"

namespace csa::system_test::inbox_test {
namespace {

using nlohmann::json;

Finished admin(const Place& place, const Words& words) { return run(place.admin(words)); }

json admin_json(const Place& place, Words words) {
  words.emplace_back("--json");
  const Finished done = admin(place, words);
  REQUIRE_MESSAGE(done.code == 0, done.err);
  return json::parse(done.out);
}

std::string value(const Place& place, const std::string& sql) {
  return Database(place.master(), Database::Mode::kReadOnly).query_text(sql).value_or("-");
}

// Both replicas change the same rows without a broker, `later` after `earlier`; then both return.
void differ(const Place& place, std::optional<Program>& broker, const std::string& earlier,
            const std::string& later) {
  Ready ready;
  for (const char* const replica : {"a.db", "b.db"}) {
    REQUIRE(place.client(replica)->wait_for(ClientState::kLive, kPatience));
  }
  broker->kill();
  broker.reset();
  for (const auto& [replica, sql] : {std::pair("a.db", earlier), std::pair("b.db", later)}) {
    const Finished done =
        run(place.node(replica, {"exec", "--json", "--discovery-timeout", "100ms", sql}));
    REQUIRE_MESSAGE(done.out.find("\"journaled\"") != std::string::npos, done.out << done.err);
  }
  broker.emplace(place.serve(ready));
  for (const char* const replica : {"a.db", "b.db"}) {
    const std::unique_ptr<Client> client = place.client(replica);
    REQUIRE(eventually([&] {
      const ClientStatus status = client->status();
      return status.state == ClientState::kLive && status.pending == 0;
    }));
  }
}

}  // namespace

TEST_CASE("csa-admin conflicts: listed, shown in three columns, restored, dismissed, each once") {
  Place place;
  place.create(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT UNIQUE, shelf TEXT);"
      "INSERT INTO part VALUES (1, 'bolt', 'A'), (2, 'nut', 'B'), (3, 'rod', 'C');");
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  CHECK(admin_json(place, {"conflicts"}).empty());
  differ(place, broker,
         "UPDATE part SET shelf = 'early' WHERE id = 1; UPDATE part SET name = 'gone' WHERE id = 2;"
         "DELETE FROM part WHERE id = 3",
         "UPDATE part SET shelf = 'late' WHERE id = 1; UPDATE part SET name = 'new' WHERE id = 2;"
         "UPDATE part SET shelf = 'D' WHERE id = 3");
  CHECK(value(place, "SELECT group_concat(name || shelf) FROM part") == "boltlate,newB,rodD");
  const json list = admin_json(place, {"conflicts", "list"});
  REQUIRE(list.size() == 3);
  const json& shelf = list.at(0);
  CHECK(shelf["table"] == "part");
  CHECK(shelf["key"] == json{{"id", 1}});
  CHECK(shelf["rule"] == "newest");
  CHECK(shelf["decision"] == "node");
  CHECK(shelf["state"] == "open");
  CHECK(shelf["base"]["shelf"] == "A");
  CHECK(shelf["broker"]["shelf"] == "early");
  CHECK(shelf["node_row"]["shelf"] == "late");
  CHECK(list.at(2)["broker"].is_null());

  const Finished shown = admin(place, {"conflicts", "show", "1"});
  CHECK(shown.code == 0);
  CHECK(shown.out.find("BASE") < shown.out.find("MASTER"));
  CHECK(shown.out.find("* shelf") != std::string::npos);
  CHECK(shown.out.find("* name") == std::string::npos);
  CHECK(admin_json(place, {"conflicts", "show", "1"}) == shelf);

  CHECK(admin_json(place, {"conflicts", "restore", "1"})["state"] == "restored");
  CHECK(value(place, "SELECT shelf FROM part WHERE id = 1") == "early");
  CHECK(admin(place, {"conflicts", "restore", "3"}).code == 0);
  CHECK(value(place, "SELECT count(*) FROM part") == "2");
  // Its name has been given away meanwhile.
  const Finished wrote = run(place.node(
      "a.db", {"exec", "--json", "INSERT INTO part (name, shelf) VALUES ('gone', 'E')"}));
  REQUIRE_MESSAGE(wrote.code == 0, wrote.err);
  const Finished unfit = admin(place, {"conflicts", "restore", "2"});
  CHECK(unfit.code == 5);
  CHECK_MESSAGE(unfit.err.find("UNIQUE") != std::string::npos, unfit.err);
  CHECK(value(place, "SELECT state FROM csa_conflicts WHERE id = 2") == "open");
  CHECK(admin(place, {"conflicts", "dismiss", "2"}).code == 0);
  CHECK(value(place, "SELECT group_concat(state) FROM csa_conflicts") ==
        "restored,dismissed,restored");

  for (const Words& wrong : {Words{"conflicts", "restore", "1"}, Words{"conflicts", "restore", "9"},
                             Words{"conflicts", "dismiss", "1"}}) {
    const Finished refused = admin(place, wrong);
    CHECK(refused.code == 5);
    CHECK(!refused.err.empty());
  }
  CHECK(admin(place, {"conflicts", "show", "9"}).code == 1);
  CHECK(admin(place, {"conflicts", "restore", "all"}).code == 2);
  CHECK(admin(place, {"conflicts", "restore"}).code == 2);
  for (const char* const name : {"a.db", "b.db"}) {
    const std::unique_ptr<Client> client = place.client(name);
    CHECK(place.difference_of(name) == "");
  }
  const Database replica(place.file("b.db"), Database::Mode::kReadOnly);
  CHECK(replica.query_int("SELECT count(*) FROM csa_conflicts") == 3);
}

TEST_CASE(
    "csa-admin rule: set, loaded and listed, the same again changes nothing, wrong ones told") {
  Place place;
  place.create(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, stock INTEGER);"
      "INSERT INTO part VALUES (1, 'bolt', 10)");
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  CHECK(admin(place, {"rule", "set", "part.stock", "sum"}).code == 0);
  CHECK(admin(place, {"rule", "set", "part", "merge"}).code == 0);
  CHECK(admin(place, {"rule", "set", "part", "atomic"}).code == 0);
  const json rules = admin_json(place, {"rule", "list"});
  const std::int64_t seq = admin_json(place, {"status"})["position"]["seq"];
  for (const Words& again :
       {Words{"rule", "set", "part.stock", "sum"}, Words{"rule", "set", "PART", "merge"}}) {
    CHECK(admin(place, again).code == 0);
  }
  CHECK(admin_json(place, {"rule", "list"}) == rules);
  CHECK(admin_json(place, {"status"})["position"]["seq"] == seq);
  CHECK(rules.size() == 3);
  CHECK(std::ranges::count(rules, json{{"table", "part"}, {"column", "stock"}, {"rule", "sum"}}) ==
        1);
  CHECK(admin(place, {"rule", "set", "part", "rowwise"}).code == 0);

  for (const Words& wrong :
       {Words{"rule", "set", "nothing", "merge"}, Words{"rule", "set", "part.price", "sum"},
        Words{"rule", "set", "part", "sum"}, Words{"rule", "set", "part.stock", "loudest"}}) {
    const Finished refused = admin(place, wrong);
    CHECK_MESSAGE((refused.code == 5 || refused.code == 2), refused.code << refused.err);
    CHECK(!refused.err.empty());
  }
  {
    std::ofstream(place.file("rules.txt")) << "# stock is counted\npart.stock sum\npart newest\n";
    std::ofstream(place.file("wrong.txt")) << "part broker\npart.price sum\n";
  }
  CHECK(admin(place, {"rule", "load", place.file("rules.txt")}).code == 0);
  CHECK(admin(place, {"rule", "load", place.file("wrong.txt")}).code != 0);
  const json left = admin_json(place, {"rule", "list"});
  CHECK(std::ranges::count(left,
                           json{{"table", "part"}, {"column", nullptr}, {"rule", "newest"}}) == 1);
  differ(place, broker, "UPDATE part SET stock = stock - 3", "UPDATE part SET stock = stock - 3");
  CHECK(value(place, "SELECT stock FROM part") == "4");
  CHECK(admin_json(place, {"conflicts"}).empty());
}

TEST_CASE(
    "csa-node journal: what waits under names the application knows, then what became of it") {
  Place place;
  place.create(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
      "CREATE VIRTUAL TABLE note USING fts5 (text);"
      "CREATE VIRTUAL TABLE area USING rtree (id, x0, x1);"
      "INSERT INTO part VALUES (1, 'bolt')");
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  REQUIRE(place.client("a.db")->wait_for(ClientState::kLive, kPatience));
  broker->kill();
  broker.reset();
  const auto offline = [&](const std::string& sql) {
    return run(place.node("a.db", {"exec", "--json", "--discovery-timeout", "100ms", sql}));
  };
  for (const char* const sql :
       {"INSERT INTO part (name) VALUES ('nut')", "INSERT INTO note VALUES ('red')",
        "INSERT INTO area VALUES (7, 1, 2)", "UPDATE part SET name = 'screw' WHERE id = 1"}) {
    CHECK(json::parse(offline(sql).out)["status"] == "journaled");
  }
  CHECK(json::parse(offline("INSERT INTO part VALUES (1, 'twice')").out)["code"] == "constraint");
  const Finished waiting = run(place.node("a.db", {"journal", "--json"}));
  REQUIRE_MESSAGE(waiting.code == 0, waiting.err);
  std::string tables;
  for (const json& change : json::parse(waiting.out)) {
    tables += change["table"].get<std::string>() + " " + change["op"].get<std::string>() + ", ";
  }
  CHECK(tables == "part insert, note insert, area insert, part update, ");
  const json last = json::parse(waiting.out).back();
  CHECK(last["old"]["name"] == "bolt");
  CHECK(last["new"]["name"] == "screw");
  CHECK(run(place.node("a.db", {"journal"})).out.find("bolt → screw") != std::string::npos);
  // Of a journal that lacks one, the others are shown, and that.
  for (const std::string file : {".db", ".db-wal"}) {
    const std::string from = place.file("a" + file);
    if (std::filesystem::exists(from)) std::filesystem::copy(from, place.file("b" + file));
  }
  {
    const Database damaged(place.file("b.db"), Database::Mode::kReadWrite);
    damaged.exec(
        "DELETE FROM csa_journal WHERE entry ="
        " (SELECT entry FROM csa_journal ORDER BY entry LIMIT 1 OFFSET 1)");
  }
  const Finished rest = run(place.node("b.db", {"journal", "--json"}));
  CHECK(rest.code == 7);
  CHECK(rest.err.find("header is missing") != std::string::npos);
  CHECK(json::parse(rest.out).size() == 3);
  CHECK(json::parse(rest.out).back() == last);

  broker.emplace(place.serve(ready));
  const std::unique_ptr<Client> client = place.client("a.db");
  REQUIRE(eventually([&] { return client->status().pending == 0 && client->status().seq >= 4; }));
  CHECK(json::parse(run(place.node("a.db", {"journal", "--json"})).out).empty());
  const json outcomes =
      json::parse(run(place.node("a.db", {"journal", "--outcomes", "--json"})).out);
  CHECK(outcomes.size() == 4);
  for (const json& one : outcomes) CHECK(one["outcome"] == "applied");
}

TEST_CASE("csa-node outcome: of an offline write, journaled, then what became of it, no broker") {
  Place place;
  place.create(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT UNIQUE);"
      "INSERT INTO part VALUES (1, 'bolt')");
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  REQUIRE(place.client("a.db")->wait_for(ClientState::kLive, kPatience));
  CHECK(run(place.node("b.db", {"exec", "INSERT INTO part VALUES (2, 'nut')"})).code == 0);
  const auto stop = [&] {
    broker->kill();
    broker.reset();
  };
  stop();
  std::vector<std::string> txs;
  for (const char* const sql :
       {"INSERT INTO part VALUES (3, 'pin')", "INSERT INTO part VALUES (4, 'nut')"}) {
    const Finished done =
        run(place.node("a.db", {"exec", "--json", "--discovery-timeout", "100ms", sql}));
    txs.push_back(json::parse(done.out)["tx"]);
  }
  const auto outcome = [&](std::size_t i, int code) {
    const Finished done = run(place.node("a.db", {"outcome", "--json", txs[i]}));
    CHECK_MESSAGE(done.code == code, done.err);
    return json::parse(done.out);
  };
  CHECK(outcome(0, 0)["status"] == "journaled");
  CHECK(outcome(1, 0)["pending"] == 2);
  broker.emplace(place.serve(ready));
  {
    const std::unique_ptr<Client> client = place.client("a.db");
    REQUIRE(eventually([&] { return client->status().pending == 0; }));
    REQUIRE(client->wait_for(ClientState::kLive, kPatience));
    CHECK(client->outcome(txs[1], kPatience).outcome == "parked");
  }
  stop();
  CHECK(outcome(0, 0)["outcome"] == "applied");
  const json lost = outcome(1, 5);
  CHECK(lost["code"] == "conflict");
  CHECK(lost["outcome"] == "parked");
  CHECK(lost["reason"].get<std::string>().find("UNIQUE") != std::string::npos);
  const Finished told = run(place.node("a.db", {"outcome", txs[1]}));
  CHECK(told.err.find("csa-admin conflicts list") != std::string::npos);
}

TEST_CASE("outcome: an offline row that got another key, run says so, a guest's events, outcome") {
  Place place;
  place.create("CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT)");
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  for (const char* const replica : {"a.db", "b.db"}) {
    REQUIRE(place.client(replica)->wait_for(ClientState::kLive, kPatience));
  }
  broker->kill();
  broker.reset();
  std::string tx;
  for (const char* const replica : {"b.db", "a.db"}) {
    const Finished done = run(place.node(replica, {"exec", "--json", "--discovery-timeout", "100ms",
                                                   "INSERT INTO part (name) VALUES ('new')"}));
    tx = json::parse(done.out)["tx"];
  }
  broker.emplace(place.serve(ready));
  CHECK(run(place.node("b.db", {"status"})).code == 0);
  broker->kill();
  broker.reset();
  Program owner(place.node("a.db", {"run", "--discovery-timeout", "100ms"}));
  REQUIRE(owner.line_with("standalone"));
  std::promise<ClientEvent> told;
  ClientOptions options = place.client_options("a.db");
  options.on_event = [&](const ClientEvent& event) {
    if (event.kind == ClientEvent::Kind::kOutcome) told.set_value(event);
  };
  const OpenedClient guest = Client::open(options);
  REQUIRE(guest.client);
  CHECK(guest.client->works_through_owner());
  broker.emplace(place.serve(ready));
  std::future<ClientEvent> event = told.get_future();
  REQUIRE(event.wait_for(kPatience) == std::future_status::ready);
  const std::vector<ChangedKey> changed{{"part", 1, 2}};
  CHECK(event.get().keys == changed);
  // It is told a moment before the replica has it.
  CHECK(eventually([&] { return guest.client->outcome(tx, kPatience).keys == changed; }));
  CHECK(eventually([&] { return owner.errors().find("part 1 is now 2") != std::string::npos; }));
  const Finished asked = run(place.node("a.db", {"outcome", "--json", tx}));
  CHECK(json::parse(asked.out)["keys"] ==
        json::parse(R"([{"table":"part","before":1,"after":2}])"));
}

}  // namespace csa::system_test::inbox_test
