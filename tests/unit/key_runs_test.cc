// Keys in memory and in the file, against a plain map.
#include <doctest/doctest.h>
#include <malloc.h>

#include <limits>
#include <random>
#include <vector>

#include "broker/merge_key_runs.h"

namespace csa::key_runs_test {
namespace {

using Model = std::map<std::int64_t, std::int64_t>;

void check_same(const KeyRuns& runs, const Model& model) {
  std::vector<std::int64_t> keys;
  runs.each([&](std::int64_t key) { keys.push_back(key); });
  REQUIRE(keys.size() == model.size());
  std::size_t i = 0;
  for (const auto& [key, to] : model) {
    REQUIRE(keys[i++] == key);
    REQUIRE(runs.find(key) == to);
  }
  CHECK(runs.empty() == model.empty());
}

void add(KeyRuns& runs, Model& model, std::int64_t key, std::int64_t to) {
  runs.add(key, to);
  model.emplace(key, to);
}

// Every third key of a range far away, so that all are in the file.
void fill(KeyRuns& runs, Model& model) {
  const auto count = static_cast<std::int64_t>(KeyRuns::kInMemoryMax + 10);
  for (std::int64_t i = 0; i < count; ++i) add(runs, model, 1'000'000 + 3 * i, i);
}

void stir(KeyRuns& runs, Model& model) {
  std::mt19937_64 engine(7);
  for (int i = 0; i < 5000; ++i) {
    const auto key = static_cast<std::int64_t>(engine() % 200) - 100;
    CHECK(runs.contains(key) == model.contains(key));
    if (engine() % 3 == 0) {
      runs.remove(key);
      model.erase(key);
    } else {
      add(runs, model, key, engine() % 4 == 0 ? 5 : key + 1000);
    }
  }
}

}  // namespace

TEST_CASE("key runs: few and many keys are what was added and not removed") {
  for (const bool many : {false, true}) {
    CAPTURE(many);
    KeyRuns runs;
    Model model;
    CHECK(runs.empty());
    if (many) fill(runs, model);
    for (const std::int64_t end :
         {std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}) {
      add(runs, model, end, 0);
    }
    stir(runs, model);
    if (!many) fill(runs, model);
    check_same(runs, model);
    runs = {};
    CHECK(runs.empty());
  }
}

TEST_CASE("key runs: many keys that are no neighbours take no memory of their own") {
  const auto used = [] { return mallinfo2().uordblks; };
  const std::size_t before = used();
  KeyRuns runs;
  for (std::int64_t i = 0; i < 300'000; ++i) runs.add(2 * i, 2 * i);
  CHECK(used() < before + (12U << 20U));
  CHECK(runs.find(299'998) == 299'998);
  CHECK(!runs.contains(299'999));
}

}  // namespace csa::key_runs_test
