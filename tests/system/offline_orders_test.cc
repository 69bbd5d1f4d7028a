// Offline work that meets in every order, and a cut cable.
#include <doctest/doctest.h>

#include <algorithm>

#include "common/sqlite.h"
#include "common/system_clock.h"
#include "tests/system/lan.h"
#include "tests/system/place.h"

namespace csa::system_test::offline_orders_test {
namespace {

using std::chrono::duration_cast;

std::string text_of(const std::string& database, const std::string& sql) {
  return Database(database, Database::Mode::kReadOnly).query_text(sql).value_or("(nothing)");
}

milliseconds since(TimePoint start) { return duration_cast<milliseconds>(monotonic_now() - start); }

bool all_handed_over(Client& client) {
  return eventually([&] {
    const ClientStatus status = client.status();
    return status.state == ClientState::kLive && status.pending == 0;
  });
}

// Types one write on a replica that has no broker.
void offline(const Place& place, const std::string& replica, const std::string& sql) {
  Launch launch = place.node(replica, {"exec", "--json", "--discovery-timeout", "100ms", sql});
  const Finished done = run(launch);
  REQUIRE_MESSAGE(done.out.find("\"journaled\"") != std::string::npos, done.out << done.err);
}

std::string transfer(int from, int to, int amount) {
  const std::string n = std::to_string(amount);
  return "UPDATE account SET balance = balance - " + n + " WHERE id = " + std::to_string(from) +
         "; UPDATE account SET balance = balance + " + n + " WHERE id = " + std::to_string(to);
}

}  // namespace

TEST_CASE("shown: transfers between accounts of which all is atomic, right in every order") {
  std::vector<int> order{0, 1, 2};
  int orders = 0;
  do {
    const Place place;
    place.create(
        "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER);"
        "INSERT INTO account VALUES (1, 100), (2, 100), (3, 100)");
    run_sql(place.master(), "INSERT INTO csa_rule VALUES ('account', '', 'atomic')");
    Ready ready;
    std::optional<Program> broker(place.serve(ready));
    for (const char* const replica : {"a.db", "b.db"}) {
      REQUIRE(place.client(replica)->wait_for(ClientState::kLive, kPatience));
    }
    broker->kill();
    broker.reset();
    offline(place, "a.db", transfer(1, 2, 10));
    offline(place, "b.db", transfer(2, 3, 7));
    broker.emplace(place.serve(ready));
    const std::unique_ptr<Client> c = place.client("c.db");
    REQUIRE(c->wait_for(ClientState::kLive, kPatience));
    std::string shown;
    for (const int step : order) {
      if (step == 2) {
        CHECK(c->exec(transfer(3, 1, 5)).status == WriteResult::Status::kCommitted);
        shown += " master";
      } else {
        const std::unique_ptr<Client> back = place.client(step == 0 ? "a.db" : "b.db");
        REQUIRE(all_handed_over(*back));
        shown += step == 0 ? " a" : " b";
      }
      CHECK(count_of(place.master(), "SELECT sum(balance) FROM account") == 300);
    }
    const std::int64_t kept = count_of(place.master(), "SELECT count(*) FROM csa_conflicts");
    // 10 from 1 to 2, 7 from 2 to 3, 5 from 3 to 1: each pair shares an account.
    CHECK(kept >= 2);
    CHECK(place.difference_of("c.db") == "");
    MESSAGE("order" << shown << ": "
                    << text_of(place.master(), "SELECT group_concat(balance, ' + ') FROM account")
                    << " = 300, " << kept << " rows in the inbox");
    ++orders;
  } while (std::ranges::next_permutation(order).found);
  CHECK(orders == 6);
}

TEST_CASE("shown: the cable is cut, writes are journaled within four seconds; back, merged") {
  REQUIRE(is_root());
  const Place place("default");
  Lans lans;
  lans.add_lan("lan");
  int number = 1;
  for (const char* const computer : {"office", "till", "bench"}) {
    lans.add_computer(computer);
    lans.plug(computer, "lan", "10.77.0." + std::to_string(number++) + "/24");
  }
  place.create("CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT)");
  Program broker(lans.on("office", place.broker({"serve"})));
  REQUIRE(broker.line_with("csa-broker: ready"));
  Program till(lans.on("till", place.node("till.db", {"run"})));
  Program bench(lans.on("bench", place.node("bench.db", {"run", "--on-disconnect", "shutdown"})));
  REQUIRE(till.line_with("state=live"));
  REQUIRE(bench.line_with("state=live"));
  const auto cable = [&](const char* const how) {
    Launch set;
    set.command = {"ip", "link", "set", "lan0", how};
    REQUIRE(run(lans.on("office", set)).code == 0);
  };
  cable("down");
  TimePoint start = monotonic_now();
  const Finished wrote =
      run(lans.on("till", place.node("till.db", {"exec", "INSERT INTO part (name) VALUES ('x')"})));
  const milliseconds journaled = since(start);
  CHECK(journaled < milliseconds{4000});
  CHECK_MESSAGE(wrote.err.find("kept on this computer until") != std::string::npos, wrote.err);
  CHECK_MESSAGE(wrote.err.find("STANDALONE") != std::string::npos, wrote.err);
  CHECK(bench.exit_code() == 8);
  const milliseconds shutdown = since(start);
  cable("up");
  start = monotonic_now();
  CHECK(eventually([&] { return count_of(place.master(), "SELECT count(*) FROM part") == 1; }));
  const milliseconds merged = since(start);
  CHECK(merged < milliseconds{3000});
  CHECK(place.difference_of("till.db") == "");
  MESSAGE("journaled " << journaled.count() << " ms after the cut, --on-disconnect shutdown ended "
                       << shutdown.count() << " ms after it with exit 8, merged " << merged.count()
                       << " ms after the cable was back");
}

}  // namespace csa::system_test::offline_orders_test
