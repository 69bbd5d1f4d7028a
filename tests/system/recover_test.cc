// The master comes back from an older backup: what it has lost, nodes still hold, offer back, and a
// person recovers.
#include <doctest/doctest.h>

#include <filesystem>

#include "tests/system/place.h"

namespace csa::system_test::recover_test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kShop = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT NOT NULL, stock INTEGER);
  CREATE TABLE movement (id INTEGER PRIMARY KEY, part INTEGER NOT NULL REFERENCES part (id),
                         who TEXT);
  CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT);
  CREATE VIRTUAL TABLE note USING fts5 (text);
  INSERT INTO part VALUES (1, 'bolt', 10), (2, 'nut', 5), (3, 'rod', 7);
)";

void must_commit(Client& client, const std::string& sql) {
  const WriteResult result = client.exec(sql);
  REQUIRE_MESSAGE(result.status == WriteResult::Status::kCommitted, sql << ": " << result.message);
}

bool is_calm(Client& client) {
  return eventually([&] {
    const ClientStatus status = client.status();
    return status.state == ClientState::kLive && status.pending == 0;
  });
}

// csa-admin, which must end with `code`.
Finished admin(const Place& place, const Words& words, int code) {
  const Finished done = run(place.admin(words));
  REQUIRE_MESSAGE(done.code == code, done.err << done.out);
  return done;
}

std::int64_t lost(const Place& place, const std::string& state) {
  return count_of(place.master(), "SELECT count(*) FROM csa_lost WHERE state = '" + state + "'");
}

}  // namespace

TEST_CASE("recover: a master from an older backup, nodes offer what it has lost, once, and apply") {
  Place place;
  place.create(kShop);
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  const std::unique_ptr<Client> till = place.client("till.db");
  const std::unique_ptr<Client> desk = place.client("desk.db");
  REQUIRE(is_calm(*till));
  REQUIRE(is_calm(*desk));
  must_commit(*till, "UPDATE part SET name = 'in the backup' WHERE id = 3");
  (void)admin(place, {"backup", place.file("backup.db")}, 0);
  // From here on everything is lost.
  must_commit(*till, "INSERT INTO part (name, stock) VALUES ('washer', 4)");
  must_commit(*desk, "INSERT INTO movement (part, who) VALUES (4, 'desk')");
  must_commit(*desk, "UPDATE part SET stock = stock - 1 WHERE id = 1");
  must_commit(*till, "INSERT INTO setting VALUES ('colour', 'red')");
  must_commit(*till, "DELETE FROM part WHERE id = 2");
  must_commit(*desk, "INSERT INTO note VALUES ('call the smith')");
  must_commit(*till, "UPDATE part SET stock = 6 WHERE id = 1");
  REQUIRE(place.difference_of("till.db") == "");
  REQUIRE(place.difference_of("desk.db") == "");
  broker->kill();
  broker.reset();
  REQUIRE(till->wait_for(ClientState::kStandalone, kPatience));
  REQUIRE(desk->wait_for(ClientState::kStandalone, kPatience));
  const Finished restored = run(place.broker({"restore", "--from", place.file("backup.db")}));
  REQUIRE_MESSAGE(restored.code == 0, restored.err);
  broker.emplace(place.serve(ready));
  REQUIRE(is_calm(*till));
  REQUIRE(is_calm(*desk));

  CHECK(count_of(place.master(), "SELECT count(*) FROM part") == 3);
  const nlohmann::json list = place.ask_admin("recover");
  REQUIRE_MESSAGE(list.size() == 7, list.dump(1));
  for (const auto& one : list) CHECK(one["state"] == "lost");
  CHECK(list[0]["tables"] == nlohmann::json{{"part", 1}});
  CHECK(list[1]["tables"] == nlohmann::json{{"movement", 1}});
  CHECK(list[0]["seq"] < list[6]["seq"]);
  CHECK(list[2]["rows"][0]["key"] == nlohmann::json{{"id", 1}});
  CHECK(list[2]["rows"][0]["new"] == nlohmann::json{{"stock", 9}});
  CHECK(admin(place, {"recover"}, 0).out.find("part insert id=4 name=\"washer\" stock=4") !=
        std::string::npos);
  CHECK(place.difference_of("till.db") == "");

  // The number 4 is somebody else's by now, and the screw has another stock since.
  must_commit(*desk, "INSERT INTO part (name, stock) VALUES ('hook', 9)");
  must_commit(*desk, "INSERT INTO note VALUES ('another')");
  const Finished applied = admin(place, {"recover", "apply", "2", "1", "--json"}, 0);
  CHECK(applied.out.find("\"id\":1") < applied.out.find("\"id\":2"));
  CHECK_MESSAGE(applied.out.find("\"keys\":[{\"table\":\"part\",\"before\":4,\"after\":5}]}") <
                    applied.out.find("\"id\":2"),
                applied.out);
  CHECK(count_of(place.master(),
                 "SELECT count(*) FROM part JOIN movement ON part.id = movement.part"
                 " WHERE name = 'washer' AND part.id <> 4") == 1);
  CHECK(count_of(place.master(), "SELECT count(*) FROM part WHERE id = 4 AND name = 'hook'") == 1);
  CHECK(admin(place, {"recover", "apply", "1"}, 5).err.find("recovered already") !=
        std::string::npos);
  CHECK(admin(place, {"recover", "apply", "99"}, 5).err.find("there is no lost transaction 99") !=
        std::string::npos);
  (void)admin(place, {"recover", "apply", "one"}, 2);
  (void)admin(place, {"recover", "forget", "5"}, 0);
  (void)admin(place, {"recover", "apply", "5"}, 5);
  const Finished rest = admin(place, {"recover", "apply", "all"}, 0);
  CHECK_MESSAGE(rest.out.find("; note 1 is now 2\n") != std::string::npos, rest.out);
  CHECK(lost(place, "lost") == 0);
  CHECK(lost(place, "recovered") == 6);
  CHECK(count_of(place.master(), "SELECT count(*) FROM csa_lost_part") == 0);
  CHECK(count_of(place.master(), "SELECT stock FROM part WHERE id = 1") == 6);
  CHECK(count_of(place.master(), "SELECT count(*) FROM part WHERE id = 2") == 1);  // forgotten
  CHECK(count_of(place.master(), "SELECT count(*) FROM setting WHERE value = 'red'") == 1);
  CHECK(count_of(place.master(), "SELECT count(*) FROM note WHERE note MATCH 'smith'") == 1);
  CHECK(count_of(place.master(), "SELECT count(*) FROM pragma_foreign_key_check") == 0);
  CHECK(count_of(place.master(),
                 "SELECT count(*) FROM pragma_integrity_check"
                 " WHERE integrity_check <> 'ok'") == 0);
  must_commit(*till, "INSERT INTO part (name, stock) VALUES ('on we go', 1)");
  CHECK(place.difference_of("till.db") == "");
  CHECK(place.difference_of("desk.db") == "");
  for (const char* const replica : {"till.db", "desk.db"}) {
    const Finished status = run(place.node(replica, {"status", "--json"}));
    const nlohmann::json told = nlohmann::json::parse(status.out)["kept_aside"];
    REQUIRE(told.size() == 1);
    CHECK(fs::exists(told.at(0).get<std::string>()));
  }
}

}  // namespace csa::system_test::recover_test
