// csa-sub prints each change exactly once and in order, from the log and then live, while writing
// goes on.
#include <doctest/doctest.h>

#include <algorithm>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <optional>
#include <tuple>

#include "common/system_clock.h"
#include "tests/shown/measure.h"

namespace csa::shown_test::tail_test {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using system_test::Place;
using system_test::Program;
using system_test::Ready;

constexpr std::int64_t kTransactions = 12000;
constexpr std::int64_t kSubStarts = 4000;
constexpr std::int64_t kUnderWay = 64;

// A row change as csa-sub shows it: number of the transaction, id, operation, new qty (-1: none).
using Shown = std::tuple<std::int64_t, std::int64_t, std::string, std::int64_t>;

// Transactions come in fours: one row, three rows, these three changed, the one row deleted.
std::string sql_of(std::int64_t number, std::int64_t first, std::vector<Shown>& expected) {
  const std::int64_t four = number - number % 4;
  const std::int64_t seq = first + number;
  const auto id = [&](std::int64_t which) { return four * 10 + which; };
  const std::string qty = std::to_string(number);
  const auto text = [&](std::int64_t which) { return std::to_string(id(which)); };
  switch (number % 4) {
    case 0:
      expected.emplace_back(seq, id(0), "insert", number);
      return "INSERT INTO item VALUES (" + text(0) + "," + qty + ")";
    case 1:
      for (const int which : {1, 2, 3}) expected.emplace_back(seq, id(which), "insert", number);
      return "INSERT INTO item VALUES (" + text(1) + "," + qty + "),(" + text(2) + "," + qty +
             "); INSERT INTO item VALUES (" + text(3) + "," + qty + ")";
    case 2:
      for (const int which : {1, 2, 3}) expected.emplace_back(seq, id(which), "update", number);
      return "UPDATE item SET qty = " + qty + " WHERE id BETWEEN " + text(1) + " AND " + text(3);
    default:
      expected.emplace_back(seq, id(0), "delete", -1);
      return "DELETE FROM item WHERE id = " + text(0);
  }
}

// A client's writes without waiting for each, so many at a time.
class Window {
 public:
  explicit Window(Client& client) : client_(client) {}
  void send(const std::string& sql) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return under_way_ < kUnderWay; });
    ++under_way_;
    lock.unlock();
    client_.exec_async(sql, {}, {}, [this](const WriteResult& result) {
      const std::lock_guard done(mutex_);
      --under_way_;
      if (result.status != WriteResult::Status::kCommitted) ++failed_;
      room_.notify_one();
    });
  }
  // How many were not committed.
  std::int64_t finish() {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return under_way_ == 0; });
    return failed_;
  }

 private:
  Client& client_;
  std::mutex mutex_;
  std::condition_variable room_;
  std::int64_t under_way_ = 0;
  std::int64_t failed_ = 0;
};

// Into a file, so that csa-sub never waits for the test.
system_test::Launch sub_into(const Place& place, const std::string& file, std::uint64_t until) {
  system_test::Launch launch = place.node({}, {});
  launch.command = {"sh",
                    "-c",
                    "exec \"$0\" --since start --json --until $1 > \"$2\"",
                    CSA_SUB_PROGRAM,
                    std::to_string(until),
                    file};
  return launch;
}

// In the order of the lines; within one transaction by id. REQUIREs that Seqs never go back.
std::vector<Shown> shown_in(const std::string& file) {
  std::vector<Shown> all;
  std::ifstream lines(file);
  std::string line;
  std::int64_t last = 0;
  while (std::getline(lines, line)) {
    const json one = json::parse(line);
    const std::int64_t seq = one["seq"];
    REQUIRE_MESSAGE(seq >= last, line);
    last = seq;
    const std::int64_t qty = one.contains("new") ? one["new"]["qty"].get<std::int64_t>() : -1;
    all.emplace_back(seq, one["key"]["id"].get<std::int64_t>(), one["op"].get<std::string>(), qty);
  }
  return all;
}

void check_same(const std::vector<Shown>& expected, const std::vector<Shown>& shown,
                const char* who) {
  CAPTURE(who);
  CHECK(shown.size() == expected.size());
  for (std::size_t i = 0; i < std::min(shown.size(), expected.size()); ++i) {
    CAPTURE(std::get<0>(expected[i]));
    CAPTURE(std::get<0>(shown[i]));
    REQUIRE(shown[i] == expected[i]);
  }
}

}  // namespace

TEST_CASE("shown: tail: csa-sub shows each change once and in order while writing goes on") {
  const Place place;
  place.create("CREATE TABLE item (id INTEGER PRIMARY KEY, qty INTEGER NOT NULL);");
  Ready ready;
  Program broker = place.serve(ready);
  const std::unique_ptr<Client> writer = place.client("writer.db");
  REQUIRE(writer->wait_for(ClientState::kLive, seconds{20}));
  const auto first = static_cast<std::int64_t>(writer->status().seq) + 1;
  const auto last = static_cast<std::uint64_t>(first + kTransactions - 1);

  std::vector<Shown> expected;
  std::optional<Program> sub;
  const TimePoint start = monotonic_now();
  Window window(*writer);
  for (std::int64_t number = 0; number < kTransactions; ++number) {
    if (number == kSubStarts) sub.emplace(sub_into(place, place.file("during.json"), last));
    window.send(sql_of(number, first, expected));
  }
  REQUIRE(window.finish() == 0);
  const double wrote_s = std::chrono::duration<double>(monotonic_now() - start).count();
  REQUIRE(writer->status().seq == last);
  REQUIRE(sub->exit_code() == 0);
  const double ended_s = std::chrono::duration<double>(monotonic_now() - start).count();
  CHECK_MESSAGE(sub->errors().empty(), sub->errors());
  const system_test::Finished later =
      system_test::run(sub_into(place, place.file("after.json"), last));
  REQUIRE_MESSAGE(later.code == 0, later.err);

  check_same(expected, shown_in(place.file("during.json")), "csa-sub started while writing");
  check_same(expected, shown_in(place.file("after.json")), "csa-sub started afterwards");
  show("tail: " + std::to_string(kTransactions) + " transactions with " +
       std::to_string(expected.size()) + " row changes written in " + decimal(wrote_s) +
       " s; csa-sub, started after the first " + std::to_string(kSubStarts) +
       ", had shown all of them at " + decimal(ended_s) + " s");
}

}  // namespace csa::shown_test::tail_test
