#include "common/stream.h"

#include <doctest/doctest.h>

#include <chrono>

#include "common/limits.h"
#include "tests/unit/stream_bench.h"

namespace csa::stream_test {
namespace {

using namespace stream_bench;

std::vector<std::uint64_t> seqs(const std::vector<LogPiece>& pieces) {
  std::vector<std::uint64_t> result;
  for (const LogPiece& one : pieces) result.push_back(one.header.seq.value);
  return result;
}

using Seqs = std::vector<std::uint64_t>;

// Started at `seq`, the first question answered: nothing new.
void begin(Stream& stream, std::uint64_t seq) {
  stream.start(at(seq), 0, kStart);
  const auto get = stream.take_request(kStart);
  REQUIRE(get.has_value());
  REQUIRE(get->after == at(seq));
  REQUIRE(stream.on_log(slice(*get, seq, {}), kStart));
}

}  // namespace

TEST_CASE("stream: the place is proved at once, then updates flow") {
  Stream stream(1);
  stream.start(at(5), 0, kStart);
  CHECK_FALSE(stream.caught_up());
  const auto get = stream.take_request(kStart);
  REQUIRE(get.has_value());
  CHECK(get->max_bytes == limits::kUpdateMax);
  CHECK_FALSE(stream.take_request(kStart).has_value());
  CHECK(stream.on_log(slice(*get, 6, {piece(6)}), kStart));
  CHECK(seqs(stream.take(1000)) == Seqs{6});
  CHECK(stream.caught_up());
  CHECK(stream.position() == at(6));
  stream.on_update(update(7, 8), kStart);
  CHECK_FALSE(stream.caught_up());
  CHECK(seqs(stream.take(1 << 20)) == Seqs{7, 8});
  CHECK(stream.position() == at(8));
  CHECK(stream.caught_up());
  CHECK_FALSE(stream.deadline().has_value());
}

TEST_CASE("stream: an update before the first answer is kept, and nothing comes twice") {
  Stream stream(1);
  stream.start(at(5), 0, kStart);
  const auto get = stream.take_request(kStart);
  stream.on_update(update(8, 9), kStart);
  CHECK(stream.on_log(slice(*get, 8, {piece(6), piece(7), piece(8)}), kStart));
  stream.on_update(update(7, 9), kStart);
  CHECK(seqs(stream.take(1 << 20)) == Seqs{6, 7, 8, 9});
  CHECK(stream.caught_up());
}

TEST_CASE("stream: an update before the first question does not spare the question") {
  Stream stream(1);
  stream.start(at(5), 0, kStart);
  stream.on_update(update(6, 6), kStart);
  const auto get = stream.take_request(kStart);
  REQUIRE(get.has_value());
  CHECK(seqs(stream.take(1 << 20)) == Seqs{6});
  CHECK_FALSE(stream.caught_up());  // the place is not proved
  CHECK(stream.on_log(slice(*get, 6, {}), kStart));
  CHECK(stream.caught_up());
}

TEST_CASE("stream: a gap asks the log after 20 to 200 ms, one question at a time, with retry") {
  Stream stream(3);
  begin(stream, 5);
  stream.on_update(update(8, 8), kStart);
  const auto due = stream.deadline();
  REQUIRE(due.has_value());
  CHECK(*due >= kStart + milliseconds{20});
  CHECK(*due <= kStart + milliseconds{200});
  CHECK_FALSE(stream.take_request(*due - milliseconds{1}).has_value());
  const auto get = stream.take_request(*due);
  REQUIRE(get.has_value());
  CHECK(get->after == at(5));
  stream.on_update(update(10, 10), *due);
  CHECK_FALSE(stream.take_request(*due + milliseconds{4999}).has_value());
  const auto again = stream.take_request(*due + limits::kLogRetry);
  REQUIRE(again.has_value());
  CHECK_FALSE(stream.on_log(slice(*get, 10, {piece(6), piece(7)}), *due));  // too late
  CHECK_FALSE(stream.has_ready());
  CHECK(stream.on_log(slice(*again, 10, {piece(6), piece(7)}), *due));
  CHECK(seqs(stream.take(1 << 20)) == Seqs{6, 7, 8});
  const auto more = stream.take_request(*due);  // 9 is missing still
  REQUIRE(more.has_value());
  CHECK(more->after == at(8));
  CHECK(stream.on_log(slice(*more, 10, {piece(9), piece(10)}), *due));
  CHECK(seqs(stream.take(1 << 20)) == Seqs{9, 10});
}

TEST_CASE("stream: what only this node waits for is asked for at once, what is here not at all") {
  Stream stream(3);
  begin(stream, 5);
  stream.on_update(update(8, 8), kStart);
  REQUIRE_FALSE(stream.take_request(kStart).has_value());
  stream.ask_through(Seq{5}, kStart);
  CHECK_FALSE(stream.take_request(kStart).has_value());
  stream.ask_through(Seq{6}, kStart);
  CHECK(stream.take_request(kStart).has_value());
}

TEST_CASE("stream: a HEAD beyond what is here asks for the tail after 200 quiet ms") {
  Stream stream(3);
  begin(stream, 5);
  stream.on_head(at(6), kStart);
  CHECK(stream.deadline() == kStart + milliseconds{200});
  stream.on_update(update(6, 6), kStart + milliseconds{100});
  CHECK_FALSE(stream.deadline().has_value());
  stream.on_head(at(7), kStart);
  const auto get = stream.take_request(kStart + milliseconds{200});
  REQUIRE(get.has_value());
  CHECK(get->after == at(6));
}

TEST_CASE("stream: a stub is pulled from the log in parts, given out as they come") {
  Stream stream(4);
  begin(stream, 5);
  Update with_stub = update(6, 8);
  with_stub.pieces[1].header.size = 700;
  with_stub.pieces[1].bytes.clear();
  stream.on_update(std::move(with_stub), kStart);
  CHECK(seqs(stream.take(1 << 20)) == Seqs{6});
  const auto first = stream.take_request(*stream.deadline());
  REQUIRE(first.has_value());
  CHECK(first->after == at(6));
  CHECK(first->offset == 0);
  CHECK(stream.on_log(slice(*first, 8, {part(7, 700, 0, 300)}), kStart));
  CHECK(stream.take(1 << 20).size() == 1);
  CHECK(stream.position() == at(6));  // not whole yet
  CHECK_FALSE(stream.caught_up());
  const auto second = stream.take_request(kStart);
  REQUIRE(second.has_value());
  CHECK(second->after == at(6));
  CHECK(second->offset == 300);
  CHECK(stream.on_log(slice(*second, 8, {part(7, 700, 200, 500)}), kStart));  // 100 bytes too many
  const auto rest = stream.take(1 << 20);
  REQUIRE(rest.size() == 2);
  CHECK(rest[0].offset == 300);
  CHECK(rest[0].bytes == part(7, 700, 300, 400).bytes);
  CHECK(rest[1].header.seq == Seq{8});
  CHECK(stream.position() == at(8));
  CHECK(stream.caught_up());
}

TEST_CASE("stream: starts inside an entry when a part of it is here") {
  Stream stream(4);
  stream.start(at(5), 40, kStart);
  const auto get = stream.take_request(kStart);
  REQUIRE(get.has_value());
  CHECK(get->offset == 40);
  stream.on_update(
      [] {
        Update whole = update(6, 6);
        whole.pieces[0] = piece(6, 100);
        return whole;
      }(),
      kStart);
  const auto given = stream.take(1 << 20);
  REQUIRE(given.size() == 1);
  CHECK(given[0].offset == 40);
  CHECK(given[0].bytes == part(6, 100, 40, 60).bytes);
}

TEST_CASE("stream: another epoch asks the log with our position, GONE stops it") {
  Stream stream(5);
  begin(stream, 5);
  Position other = at(2);
  other.epoch = {2, Id128{{8}}};
  stream.on_head(other, kStart);
  CHECK_FALSE(stream.caught_up());
  REQUIRE(stream.deadline().has_value());
  const auto get = stream.take_request(*stream.deadline());
  REQUIRE(get.has_value());
  CHECK(get->after == at(5));
  CHECK_FALSE(stream.on_gone({get->request + 1, other, Seq{1}, "no"}));
  CHECK(stream.on_gone({get->request, other, Seq{1}, "another history"}));
  stream.on_update(update(6, 6), kStart);
  CHECK_FALSE(stream.has_ready());
  CHECK_FALSE(stream.deadline().has_value());
}

TEST_CASE("stream: the same number with another chain is doubted until the log has spoken") {
  Stream stream(5);
  begin(stream, 5);
  Position fork = at(5);
  fork.chain = chain_of(99);
  stream.on_head(fork, kStart);
  CHECK_FALSE(stream.caught_up());
  const auto get = stream.take_request(*stream.deadline());
  REQUIRE(get.has_value());
  CHECK(stream.on_log(slice(*get, 5, {}), kStart));
  CHECK(stream.caught_up());
}

TEST_CASE("stream: started with a Seq alone it takes the broker's epoch") {
  Stream stream(6);
  Position since;
  since.seq = Seq{3};
  stream.start(since, 0, kStart);
  stream.on_head(at(5), kStart);
  const auto get = stream.take_request(kStart);
  REQUIRE(get.has_value());
  CHECK(get->after == since);
  CHECK(stream.on_log(slice(*get, 5, {piece(4), piece(5)}), kStart));
  CHECK(seqs(stream.take(1 << 20)) == Seqs{4, 5});
  CHECK(stream.position() == at(5));
  CHECK(stream.caught_up());
}

TEST_CASE("stream: a useless answer is not asked for in a tight loop") {
  Stream stream(6);
  stream.start(at(5), 0, kStart);
  const auto get = stream.take_request(kStart);
  CHECK(stream.on_log(slice(*get, 9, {piece(8), piece(3)}), kStart));  // neither continues
  CHECK_FALSE(stream.has_ready());
  CHECK(stream.deadline() == kStart + limits::kLogRetry);
}

TEST_CASE("stream: the buffer is bounded behind a gap, the log repairs what was dropped") {
  Stream stream(7);
  begin(stream, 5);
  constexpr std::size_t kSize = 60 * 1024;
  for (std::uint64_t seq = 7; seq < 7 + 1000; ++seq) {
    Update big;
    big.head = at(seq);
    big.pieces.push_back(piece(seq, kSize));
    stream.on_update(std::move(big), kStart);
    REQUIRE(stream.buffered_bytes() <= limits::kStreamBufferMax);
  }
  std::uint64_t next = 6;
  TimePoint now = kStart + milliseconds{200};
  while (next < 7 + 1000) {
    const auto get = stream.take_request(now);
    REQUIRE(get.has_value());
    REQUIRE(get->after.seq.value + 1 == next);
    std::vector<LogPiece> some;
    for (std::uint64_t seq = next; seq < std::min<std::uint64_t>(next + 15, 1007); ++seq)
      some.push_back(piece(seq, kSize));
    REQUIRE(stream.on_log(slice(*get, 1006, std::move(some)), now));
    for (const LogPiece& one : stream.take(64 << 20)) {
      REQUIRE(one.header.seq.value == next);
      ++next;
    }
  }
  CHECK(stream.caught_up());
}

TEST_CASE("stream: a slow owner stops the pulling until it takes") {
  Stream stream(7);
  stream.start(at(0), 0, kStart);
  std::uint64_t next = 1;
  for (int i = 0; i < 100; ++i) {
    const auto get = stream.take_request(kStart);
    if (!get) break;
    REQUIRE(stream.on_log(slice(*get, 1000, {piece(next, limits::kKiB * 200)}), kStart));
    ++next;
  }
  CHECK(stream.buffered_bytes() < 5 * limits::kMiB);
  CHECK_FALSE(stream.deadline().has_value());
  CHECK_FALSE(stream.take(limits::kMiB).empty());
  CHECK(stream.take_request(kStart).has_value());
}

}  // namespace csa::stream_test
