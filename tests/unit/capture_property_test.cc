// Random schemas and writes: whatever the master did, the replica equals it, the inverse of
// everything leads back to the start, and two-phase arrives at the same rows.
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/support/cases.h"
#include "tests/support/compare.h"
#include "tests/support/random_schema.h"
#include "tests/support/row_pair.h"

namespace csa::capture_property_test {
namespace {

constexpr std::uint64_t kCases = test::cases(120);
constexpr int kWrites = 25;

std::string joined(const std::vector<std::string>& statements) {
  std::string text;
  for (const std::string& sql : statements) text += sql + ";\n";
  return text;
}

struct Counts {
  int written = 0;
  int failed = 0;
};

void run_case(std::uint64_t seed, Counts& counts) {
  test::RandomSchema schema(seed);
  INFO("CSA_SEED=", seed, "\n", schema.sql());
  test::RowPair pair(schema.sql());
  Database start(":memory:", Database::Mode::kCreate);
  Database phased(":memory:", Database::Mode::kCreate);
  start.exec(schema.sql());
  phased.exec(schema.sql());
  Applier phased_applier(phased);
  REQUIRE(test::difference(pair.master, start) == "");
  std::vector<Bytes> log;
  for (int i = 0; i < kWrites; ++i) {
    const std::vector<std::string> statements = schema.write();
    INFO("write ", i, ":\n", joined(statements));
    const auto bytes = pair.write(statements);
    INFO(pair.last_error());
    ++(bytes ? counts.written : counts.failed);
    if (bytes) {
      const Status applied = pair.apply(*bytes);
      REQUIRE_MESSAGE(applied.has_value(), (applied ? "" : applied.error().what));
      const Status two = pair.apply_two_phase(phased, phased_applier, *bytes);
      REQUIRE_MESSAGE(two.has_value(), (two ? "" : two.error().what));
      log.push_back(*bytes);
    }
    REQUIRE(pair.difference() == "");
  }
  REQUIRE(test::difference(pair.master, phased) == "");
  REQUIRE(pair.replica.query_text("PRAGMA integrity_check") == "ok");
  for (auto bytes = log.rbegin(); bytes != log.rend(); ++bytes) {
    const Status undone = pair.undo(*bytes);
    REQUIRE_MESSAGE(undone.has_value(), (undone ? "" : undone.error().what));
  }
  REQUIRE(test::difference(start, pair.replica) == "");
}

}  // namespace

TEST_CASE("capture: random writes on random schemas, replica, undo and two-phase are exact") {
  Counts counts;
  if (const char* const seed = std::getenv("CSA_SEED"); seed != nullptr) {
    run_case(std::strtoull(seed, nullptr, 10), counts);
    return;
  }
  for (std::uint64_t seed = 1; seed <= kCases; ++seed) run_case(seed, counts);
  // The generator must keep hitting both kinds of writes, or the test proves nothing.
  CHECK(counts.written > static_cast<int>(kCases) * 5);
  CHECK(counts.failed > static_cast<int>(kCases));
}

}  // namespace csa::capture_property_test
