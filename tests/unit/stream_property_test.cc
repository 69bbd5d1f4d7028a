#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "common/limits.h"
#include "common/stream.h"
#include "tests/unit/stream_bench.h"

namespace csa::stream_property_test {

using namespace stream_bench;

namespace {

// A broker's log and a network that loses, repeats and reorders; one seed is one run.
struct Chaos {
  explicit Chaos(std::uint64_t seed) : random(seed), stream(seed) {
    const std::uint64_t entries = 20 + random() % 60;
    for (std::uint64_t seq = 1; seq <= entries; ++seq)
      log.push_back(piece(seq, random() % 5 == 0 ? random() % 3000 : random() % 40));
  }

  std::uint64_t below(std::uint64_t bound) { return random() % bound; }

  LogSlice answer(const LogGet& get) {
    LogSlice made{get.request, at(published), Seq{1}, {}};
    std::size_t budget = 1 + below(2500);
    std::uint64_t offset = get.offset;
    for (std::uint64_t seq = get.after.seq.value + 1; seq <= published && budget > 0; ++seq) {
      const LogPiece& whole = log[seq - 1];
      while (budget > 0) {
        const std::size_t left = whole.header.size - offset;
        const std::size_t length = std::min({left, budget, std::size_t{1} + below(900)});
        made.pieces.push_back(part(seq, whole.header.size, offset, length));
        offset += length;
        budget -= std::min(budget, length + 10);
        if (offset == whole.header.size) break;
      }
      offset = 0;
    }
    if (published > 0 && below(6) == 0)
      made.pieces.insert(made.pieces.begin(), log[below(published)]);
    return made;
  }

  void publish() {
    if (published == log.size()) return;
    const std::uint64_t last = std::min<std::uint64_t>(log.size(), published + 1 + below(4));
    Update made;
    made.head = at(last);
    for (std::uint64_t seq = published + 1; seq <= last; ++seq) {
      LogPiece one = log[seq - 1];
      if (one.header.size > 500) one.bytes.clear();  // a stub
      made.pieces.push_back(std::move(one));
    }
    published = last;
    wire.push_back(std::move(made));
  }

  void deliver() {
    if (wire.empty()) return;
    const auto which = wire.begin() + static_cast<std::ptrdiff_t>(below(wire.size()));
    const Update made = *which;
    if (below(4) != 0) wire.erase(which);            // else it comes again
    if (below(3) != 0) stream.on_update(made, now);  // else it is lost
  }

  void ask() {
    if (const auto get = stream.take_request(now)) asked.push_back(*get);
    if (asked.empty() || below(2) == 0) return;
    const LogGet get = asked.front();
    asked.erase(asked.begin());
    if (below(5) == 0) return;  // lost
    const LogSlice made = answer(get);
    (void)stream.on_log(made, now);
    if (below(4) == 0) CHECK_FALSE(stream.on_log(made, now));  // the same again
  }

  void take() {
    for (const LogPiece& one : stream.take(below(4000))) {
      REQUIRE(one.header.seq.value == done + 1);
      REQUIRE(one.offset == got.size());
      got.insert(got.end(), one.bytes.begin(), one.bytes.end());
      if (!one.completes()) continue;
      REQUIRE(got == log[done].bytes);
      got.clear();
      ++done;
      REQUIRE(stream.position().seq.value <= published);
    }
  }

  void run() {
    stream.start(at(0), 0, now);
    for (int step = 0; step < 20000 && done < log.size(); ++step) {
      now += milliseconds{below(60)};
      switch (below(5)) {
        case 0:
          publish();
          break;
        case 1:
        case 2:
          deliver();
          break;
        case 3:
          take();
          break;
        default:
          if (published > 0) stream.on_head(at(published), now);
          ask();
      }
    }
  }

  std::mt19937_64 random;
  Stream stream;
  TimePoint now = kStart;
  std::vector<LogPiece> log;
  std::uint64_t published = 0;
  std::vector<Update> wire;
  std::vector<LogGet> asked;
  std::uint64_t done = 0;  // entries given out whole
  Bytes got;
};

}  // namespace

TEST_CASE("stream: over a lossy network the output is exactly the log, once, in order") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    Chaos chaos(seed);
    chaos.run();
    REQUIRE(chaos.done == chaos.log.size());
    CHECK(chaos.stream.position() == at(chaos.log.size()));
  }
}

TEST_CASE("stream: nonsense from a broker neither crashes it nor fills the memory") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    Stream stream(seed);
    const auto any_position = [&] {
      Position position = at(random() % 20);
      if (random() % 8 == 0) position.seq = Seq{~std::uint64_t{0} - random() % 2};
      if (random() % 8 == 0) position.epoch.id = Id128{{static_cast<std::uint8_t>(random() % 3)}};
      return position;
    };
    const auto any_piece = [&] {
      LogPiece made = piece(random() % 20, random() % 50);
      if (random() % 3 == 0) made.offset = random() % 60;
      if (random() % 9 == 0) made.offset = ~std::uint64_t{0};
      if (random() % 5 == 0) made.header.size = random() % 100;
      if (random() % 9 == 0) made.header.size = ~std::uint64_t{0};
      return made;
    };
    TimePoint now = kStart;
    std::uint64_t requests = 0;
    for (int step = 0; step < 400; ++step) {
      now += milliseconds{random() % 100};
      std::vector<LogPiece> pieces;
      for (std::uint64_t i = random() % 5; i > 0; --i) pieces.push_back(any_piece());
      switch (random() % 7) {
        case 0:
          stream.start(any_position(), random() % 2 * 10, now);
          break;
        case 1:
          stream.on_update({any_position(), std::move(pieces)}, now);
          break;
        case 2:
          (void)stream.on_log({random() % 3 + requests, any_position(), {}, std::move(pieces)},
                              now);
          break;
        case 3:
          stream.on_head(any_position(), now);
          break;
        case 4:
          (void)stream.on_gone({random() % 3 + requests, any_position(), {}, {}});
          break;
        case 5:
          (void)stream.take(random() % 5000);
          break;
        default:
          if (const auto get = stream.take_request(now)) requests = get->request;
      }
      CHECK(stream.buffered_bytes() <= limits::kStreamBufferMax);
    }
  }
}

}  // namespace csa::stream_property_test
