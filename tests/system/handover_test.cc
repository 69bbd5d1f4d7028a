// The owner of a replica ends, and those who worked through it go on by themselves.
#include <doctest/doctest.h>

#include <algorithm>
#include <future>
#include <mutex>

#include "tests/system/load.h"
#include "tests/system/place.h"

namespace csa::system_test::handover_test {
namespace {

constexpr const char* kInsert = "INSERT INTO entry (writer, number) VALUES (7, 1)";
constexpr const char* kCount = "SELECT count(*) FROM entry WHERE writer = 7";
// Long enough for an owner to be killed under it.
constexpr const char* kSlowInsert =
    "INSERT INTO entry (writer, number) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 "
    "FROM n WHERE i < 3000000) SELECT 7, count(*) FROM n";
constexpr const char* kTold = "a write goes as";

// What a client told its application.
class Told {
 public:
  void add(const ClientEvent& event) {
    const std::lock_guard<std::mutex> lock(mutex_);
    events_.push_back(event);
  }
  [[nodiscard]] std::vector<ClientEvent> all() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return events_;
  }
  // Also: that it leaves.
  [[nodiscard]] bool stopped() const {
    for (const ClientEvent& event : all()) {
      if (event.kind == ClientEvent::Kind::kStopped) return true;
      const bool state = event.kind == ClientEvent::Kind::kState;
      if (state && event.state == ClientState::kLeaving) return true;
    }
    return false;
  }
  // That rows of `table` changed, at `position` or another.
  [[nodiscard]] bool changed(const std::string& table, const std::string& position = {}) const {
    for (const ClientEvent& event : all()) {
      if (event.kind != ClientEvent::Kind::kChanged) continue;
      const bool names =
          std::find(event.tables.begin(), event.tables.end(), table) != event.tables.end();
      if (names && (position.empty() || event.position == position)) return true;
    }
    return false;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<ClientEvent> events_;
};

std::unique_ptr<Client> open(ClientOptions options) {
  OpenedClient opened = Client::open(std::move(options));
  REQUIRE_MESSAGE(opened.client, opened.failure.text);
  return std::move(opened.client);
}

std::unique_ptr<Client> guest_of(const Place& place, const std::string& replica, Told& told) {
  ClientOptions options = place.client_options(replica);
  options.on_event = [&told](const ClientEvent& event) { told.add(event); };
  std::unique_ptr<Client> client = open(std::move(options));
  REQUIRE(client->works_through_owner());
  return client;
}

nlohmann::json answer_of(const Finished& done) {
  nlohmann::json answer = nlohmann::json::parse(done.out, nullptr, false);
  REQUIRE_MESSAGE(answer.is_object(), done.out << done.err);
  return answer;
}

}  // namespace

TEST_CASE("handover: owner killed under a guest's write, the guest tells its outcome") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  Program owner = place.live_node("node.db");
  Program guest(place.node("node.db", {"exec", "--json", "--log-level", "debug", kSlowInsert}));
  REQUIRE_MESSAGE(eventually([&] { return guest.errors().find(kTold) != std::string::npos; }),
                  guest.errors());
  owner.kill();
  const std::optional<int> code = guest.exit_code();
  const auto answer = answer_of({code.value_or(-1), guest.output(), guest.errors()});
  CHECK_MESSAGE(code == 0, guest.errors());
  CHECK(answer["status"] == "committed");
  CHECK_MESSAGE(guest.errors().find(std::string(kTold) + " " + answer["tx"].get<std::string>()) !=
                    std::string::npos,
                guest.errors());
  CHECK(count_of(place.master(), kCount) == 1);
  CHECK(place.difference_of("node.db") == "");
}

TEST_CASE(
    "handover: neither owner nor broker answers a guest's write, its TX is told with exit 6") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  Program owner = place.live_node("node.db");
  broker.signal(SIGSTOP);
  Program guest(place.node("node.db",
                           {"exec", "--json", "--log-level", "debug", "--timeout", "2s", kInsert}));
  REQUIRE_MESSAGE(eventually([&] { return guest.errors().find(kTold) != std::string::npos; }),
                  guest.errors());
  owner.kill();
  const std::optional<int> code = guest.exit_code();
  const auto answer = answer_of({code.value_or(-1), guest.output(), guest.errors()});
  CHECK_MESSAGE(code == 6, guest.errors());
  CHECK(answer["status"] == "unknown");
  const std::string tx = answer["tx"];
  REQUIRE_FALSE(tx.empty());
  broker.signal(SIGCONT);
  // What came before this one is decided.
  CHECK(place.exec("node.db", "INSERT INTO entry (writer, number) VALUES (8, 1)")["status"] ==
        "committed");
  // It was told as unknown, so either may be true; what the broker says of it must be.
  const Finished asked = run(place.node("node.db", {"outcome", "--json", tx}));
  CHECK(count_of(place.master(), kCount) <= 1);
  CHECK_MESSAGE(asked.code == (count_of(place.master(), kCount) == 1 ? 0 : 6), asked.err);
}

TEST_CASE(
    "handover: owner killed under two guests' load, one is the owner, nothing lost or twice") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  const std::unique_ptr<Client> other = place.client("other.db");
  for (int round = 0; round < 3; ++round) {
    Program owner = place.live_node("node.db");
    Told told_first;
    Told told_second;
    const std::unique_ptr<Client> first = guest_of(place, "node.db", told_first);
    const std::unique_ptr<Client> second = guest_of(place, "node.db", told_second);
    CHECK(run(place.node("other.db", {"exec", "DELETE FROM entry; DELETE FROM total"})).code == 0);
    Load load({first.get(), second.get()});
    REQUIRE(load.wait_for_more(20));
    owner.kill();
    CHECK(load.wait_for_more(50));
    load.stop();
    load.check_account(place);
    CHECK_MESSAGE(load.summary().find(" 0 not sent, 0 unknown") != std::string::npos,
                  load.summary());
    CHECK(first->works_through_owner() != second->works_through_owner());
    CHECK_FALSE(told_first.stopped());
    CHECK_FALSE(told_second.stopped());
    // What others do is told to both.
    const WriteResult elsewhere = other->exec("INSERT INTO total VALUES (1000, ?)", {round});
    CHECK(elsewhere.status != WriteResult::Status::kUnknown);
    const WriteResult more =
        other->exec("UPDATE total SET entries = entries + 1 WHERE writer = 1000");
    REQUIRE(more.status == WriteResult::Status::kCommitted);
    const std::string position = other->status().epoch + ":" + std::to_string(more.seq);
    CHECK(eventually([&] { return told_first.changed("total", position); }));
    CHECK(eventually([&] { return told_second.changed("total", position); }));
    CHECK(place.difference_of("node.db") == "");
  }
}

TEST_CASE("handover: owners leave one after the other under load, no write is lost or unknown") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  std::vector<std::unique_ptr<Client>> owners;
  owners.push_back(place.client("node.db"));
  REQUIRE(owners.front()->wait_for(ClientState::kLive, kPatience));
  Told told;
  const std::unique_ptr<Client> guest = guest_of(place, "node.db", told);
  Load load({guest.get()});
  for (int round = 0; round < 5; ++round) {
    owners.push_back(place.client("node.db"));
    REQUIRE(load.wait_for_more(20));
    owners[static_cast<std::size_t>(round)]->leave();
  }
  CHECK(load.wait_for_more(20));
  load.stop();
  load.check_account(place);
  CHECK_MESSAGE(load.summary().find(" 0 rejected, 0 not sent, 0 unknown") != std::string::npos,
                load.summary());
  CHECK_FALSE(told.stopped());
}

TEST_CASE("handover: what changed while nobody told the guest is told when it goes on") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  Program owner = place.live_node("node.db");
  Told told;
  std::promise<void> go;
  const std::shared_future<void> gate = go.get_future().share();
  ClientOptions options = place.client_options("node.db");
  options.on_event = [&](const ClientEvent& event) {
    told.add(event);
    // Another is the owner meanwhile.
    if (event.state == ClientState::kSearching) (void)gate.wait_for(kPatience);
  };
  const std::unique_ptr<Client> guest = open(options);
  REQUIRE(guest->works_through_owner());
  owner.kill();
  const auto searching = [&] {
    for (const ClientEvent& event : told.all()) {
      if (event.kind == ClientEvent::Kind::kState && event.state == ClientState::kSearching) {
        return true;
      }
    }
    return false;
  };
  REQUIRE(eventually(searching));
  CHECK(place.exec("node.db", kInsert)["status"] == "committed");
  CHECK_FALSE(told.changed("entry"));
  go.set_value();
  CHECK(eventually([&] { return told.changed("entry"); }));
  CHECK(guest->wait_for(ClientState::kLive, kPatience));
  CHECK_FALSE(guest->works_through_owner());
}

}  // namespace csa::system_test::handover_test
