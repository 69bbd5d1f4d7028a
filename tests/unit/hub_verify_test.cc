// csa-admin verify at the Hub: what is held of the answers, and for how long.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/hub_bench.h"

namespace csa::hub_verify_test {
namespace {

using namespace hub_bench;

constexpr std::uint8_t kNodes = 40;
constexpr std::size_t kTables = 10;

struct Asked : Bench {
  explicit Asked(std::uint8_t nodes, std::uint32_t wait_ms) {
    for (std::uint8_t n = 1; n <= nodes; ++n) join(key_of(n), n);
    join("admin", 99, Role::kAdmin);
    say("admin", Admin{5, AdminVerb::kVerify, wait_ms});
    REQUIRE(jobs<DigestJob>().size() == 1);
    reference.request = jobs<DigestJob>()[0].request;
    reference.position = at(10);
    reference.tables = {{"part", true, 3, 10, 11}};
    hub.on_digest("admin", reference, true, now);
    take();
  }
  static PeerKey key_of(std::uint8_t n) { return "node-" + std::to_string(n); }
  std::vector<AdminReply> replies() { return sent<AdminReply>("admin"); }

  DigestReply reference;
};

}  // namespace

TEST_CASE("hub verify: what nodes tell is bounded, and each is told of") {
  Asked bench(kNodes, 1000);
  Checked checked;
  checked.asked = bench.reference.request;
  checked.position = bench.reference.position;
  checked.tables = bench.reference.tables;
  for (std::size_t i = 0; i < kTables; ++i) {
    const Row wide(500, Value(Null{}));
    checked.differences.push_back({"other-" + std::to_string(i), 1, wide, wide});
  }
  for (std::uint8_t n = 1; n <= kNodes; ++n) bench.say(Asked::key_of(n), checked);
  REQUIRE(bench.replies().size() == 1);
  CHECK(bench.replies()[0].ok);
  const nlohmann::json told = nlohmann::json::parse(bench.replies()[0].json);
  REQUIRE(told["nodes"].size() == kNodes);
  std::size_t values = 0;
  for (const auto& one : told["nodes"]) {
    CHECK(one["equal"] == false);
    CHECK(one["tables"].size() == kTables);
    std::size_t of_node = 0;
    for (const auto& table : one["tables"]) {
      if (table.contains("from")) of_node += table["from"].size() + table["to"].size();
    }
    CHECK(of_node * sizeof(Value) <= 64 * limits::kKiB);
    values += of_node;
  }
  CHECK(values > 0);
  CHECK(values * sizeof(Value) <= 2 * limits::kMiB);
}

TEST_CASE("hub verify: names beyond the bound go, and that is said") {
  Asked bench(2, 1000);
  Checked checked;
  checked.asked = bench.reference.request;
  checked.position = bench.reference.position;
  checked.tables = bench.reference.tables;
  checked.differences.push_back({std::string(limits::kMiB, 'x'), 1, {}, {}});
  for (std::uint8_t n = 1; n <= 2; ++n) bench.say(Asked::key_of(n), checked);
  REQUIRE(bench.replies().size() == 1);
  CHECK(bench.replies()[0].json.size() < 4 * limits::kKiB);
  const nlohmann::json told = nlohmann::json::parse(bench.replies()[0].json);
  CHECK(told["nodes"][0]["equal"] == false);
  CHECK(told["nodes"][0]["text"].get<std::string>().find("More differs") == 0);
}

TEST_CASE("hub verify: nobody holds it for longer than an hour") {
  Asked bench(1, UINT32_MAX);
  const TimePoint end = bench.now + 1h;
  while (bench.now < end) {
    CHECK(bench.replies().empty());
    bench.out.clear();
    for (const PeerKey& peer : {PeerKey("admin"), Asked::key_of(1)}) {
      bench.say(peer, Ping{1, NodeState::kLive, at(10)});
    }
    bench.pass(10s);
  }
  REQUIRE(bench.replies().size() == 1);
  CHECK(bench.replies()[0].json.find("did not answer in time") != std::string::npos);
}

}  // namespace csa::hub_verify_test
