// Touches found by row, in memory and where they have been moved out of it.
#include "broker/touch_store.h"

#include <doctest/doctest.h>

#include <random>

namespace csa::touch_store_test {
namespace {

Id128 row_of(std::uint8_t number) {
  Id128 row;
  row.bytes[0] = row.bytes[15] = number;
  return row;
}

using Told = std::vector<std::tuple<Seq, std::int64_t, TouchOp, Bytes, Bytes, std::uint64_t>>;

Told told(TouchStore& store, std::uint8_t row, const std::optional<Id128>& table, Seq seq,
          std::int64_t n) {
  Told all;
  store.ask(row_of(row), table, seq, n);
  while (const StoredTouch* const touch = store.next()) {
    all.emplace_back(touch->seq, touch->n, touch->op, touch->mask, touch->content, touch->version);
  }
  return all;
}

}  // namespace

TEST_CASE("touches: the same is told from memory, from the disk, and while they move there") {
  constexpr std::uint8_t kRows = 5;  // the last stands for a table
  std::mt19937 random(7);
  TouchStore memory;
  TouchStore disk(0);
  TouchStore moving(20'000);
  for (std::uint64_t seq = 1; seq <= 40; ++seq) {
    for (std::int64_t n = 0; n < 6; ++n) {
      const auto row = static_cast<std::uint8_t>(random() % kRows);
      StoredTouch touch{row_of(row), Seq{seq}, n, TouchOp::kGone, Bytes(random() % 3, 1), {}, seq};
      if (random() % 2 == 0) touch.content = Bytes(4, static_cast<std::uint8_t>(n));
      for (TouchStore* const store : {&memory, &disk, &moving}) store->add(touch);
    }
    for (std::uint8_t row = 0; row < kRows - 1; ++row) {
      const Seq after{random() % (seq + 1)};
      const auto n = static_cast<std::int64_t>(random() % 7);
      std::optional<Id128> table;
      if (random() % 2 == 0) table = row_of(kRows - 1);
      const Told expected = told(disk, row, table, after, n);
      CHECK(told(memory, row, table, after, n) == expected);
      CHECK(told(moving, row, table, after, n) == expected);
    }
  }
  CHECK(told(memory, 0, row_of(kRows - 1), Seq{}, 0).size() > 50);
  for (TouchStore* const store : {&memory, &disk}) {
    store->ask(row_of(0), std::nullopt, Seq{}, 0);
    CHECK(store->next() != nullptr);
    store->end_asking();
    store->clear();
    CHECK(told(*store, 0, std::nullopt, Seq{}, 0).empty());
  }
}

}  // namespace csa::touch_store_test
