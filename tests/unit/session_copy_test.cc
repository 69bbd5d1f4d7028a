// Session: full copies, damage.
#include <doctest/doctest.h>

#include "node/session.h"
#include "tests/unit/session_bench.h"

namespace csa::session_copy_test {

using namespace session_bench;

namespace {

constexpr std::size_t kTotal = 9 * limits::kMiB + 1000;

SnapshotChunk offer() { return {kSnapshot, kTotal, 0, {}}; }

SnapshotChunk chunk_for(const SnapshotGet& get) {
  return {kSnapshot, kTotal, get.offset, Bytes(get.length, 1)};
}

// Answers every chunk request until END is asked for; the order of answers is turned around.
void serve_copy(Bench& bench) {
  for (int round = 0; round < 1000; ++round) {
    const auto gets = bench.all<SnapshotGet>();
    bench.messages.clear();
    bool end = false;
    for (auto get = gets.rbegin(); get != gets.rend(); ++get) {
      if (get->offset == kTotal) end = true;
      if (get->offset < kTotal && !get->snapshot.is_zero()) bench.tell(chunk_for(*get));
    }
    if (end) return;
    bench.work_all();
  }
  FAIL("the copy does not come to its end");
}

}  // namespace

TEST_CASE("session: without a replica it takes a copy on credit, then the log behind it") {
  Bench bench(std::nullopt);
  bench.start();
  bench.connect(bench.welcome(50));
  REQUIRE(bench.last<SnapshotGet>() != nullptr);
  CHECK(bench.last<SnapshotGet>()->snapshot.is_zero());
  CHECK(bench.last<LogGet>() == nullptr);
  bench.forget();
  bench.tell(offer());
  bench.work_all();
  std::size_t asked = 0;
  for (const SnapshotGet& get : bench.all<SnapshotGet>()) asked += get.length;
  CHECK(asked <= limits::kSnapshotWindow);
  CHECK(asked > limits::kSnapshotWindow - limits::kChunkMax);

  // Chunks that the store has not written count against the window.
  const auto gets = bench.all<SnapshotGet>();
  bench.messages.clear();
  for (const SnapshotGet& get : gets) bench.tell(chunk_for(get));
  CHECK(bench.all<SnapshotGet>().empty());
  bench.work_all();
  CHECK_FALSE(bench.all<SnapshotGet>().empty());

  serve_copy(bench);
  CHECK(bench.written == kTotal);
  CHECK(bench.jobs_of<InstallCopy>() == 0);
  bench.tell(SnapshotEnd{kSnapshot, kTotal, {}, at(40)});
  bench.work_all();
  CHECK(bench.jobs_of<InstallCopy>() == 1);
  REQUIRE(bench.last<LogGet>() != nullptr);
  CHECK(bench.last<LogGet>()->after == at(40));  // a shared copy may be older than the greeting
  bench.answer_log(50);
  CHECK(bench.state() == NodeState::kLive);
  REQUIRE_FALSE(bench.told<CopyProgress>().empty());
  CHECK(bench.told<CopyProgress>().size() <= 3);  // no time has passed
  CHECK(bench.told<CopyProgress>().back().bytes == kTotal);
  // What may be left of other downloads takes room that nobody needs.
  bench.work_all();
  CHECK(bench.jobs_of<DropDownload>() == 1);
}

TEST_CASE("session: a copy goes on where it stopped when the link is back") {
  Bench bench(std::nullopt);
  bench.start();
  bench.connect(bench.welcome(50));
  bench.tell(offer());
  bench.work_all();
  const auto gets = bench.all<SnapshotGet>();
  for (std::size_t i = 1; i < 4; ++i) bench.tell(chunk_for(gets[i]));
  bench.work_all();
  const std::uint64_t here = bench.written;
  REQUIRE(here == 3 * limits::kChunkMax);
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  REQUIRE(bench.next_hello(seconds{5}));
  bench.messages.clear();
  bench.connect(bench.welcome(50));
  REQUIRE_FALSE(bench.all<SnapshotGet>().empty());
  CHECK(bench.all<SnapshotGet>()[0].snapshot == kSnapshot);
  CHECK(bench.all<SnapshotGet>()[0].offset == here);
  CHECK(bench.jobs_of<BeginDownload>() == 1);
  serve_copy(bench);
  bench.tell(SnapshotEnd{kSnapshot, kTotal, {}, at(50)});
  bench.work_all();
  bench.answer_log(50);
  CHECK(bench.state() == NodeState::kLive);
}

// What lies in the map, and where it begins, by request.
SnapshotChunk map_for(const SnapshotGet& get, std::uint64_t map_total) {
  return {kSnapshot, map_total, get.offset, Bytes(get.length, 7), 0, true};
}

TEST_CASE("session: where pages of a copy are here, its map is asked for, then what is missing") {
  constexpr std::uint64_t kPages = 100000;  // their map comes in four pieces
  constexpr std::uint64_t kMap = kPages * 8;
  std::string lines;
  Bench bench(std::nullopt);
  bench.log =
      Log(LogLevel::kInfo, [&](LogLevel, std::string_view line) { lines += std::string(line); });
  bench.pages_here = true;
  bench.start();
  bench.connect(bench.welcome(50));
  bench.messages.clear();
  bench.tell(SnapshotChunk{kSnapshot, kPages * 4096, 0, {}, 4096});
  bench.work_all();
  bench.plan.here = 4096;
  bench.plan.missing = {{4096, 8192}, {1 << 20, 4096}};
  std::uint64_t fetched = 0;
  std::vector<std::uint64_t> maps;
  for (int round = 0; round < 100; ++round) {
    const auto gets = bench.all<SnapshotGet>();
    bench.messages.clear();
    if (gets.size() == 1 && !gets[0].map && gets[0].offset == kPages * 4096) break;
    REQUIRE_FALSE(gets.empty());
    for (const SnapshotGet& get : gets) {
      CHECK(get.snapshot == kSnapshot);
      if (get.map) {
        maps.push_back(get.offset);
        bench.tell(map_for(get, kMap));
      } else {
        fetched += get.length;
        bench.tell({SnapshotChunk{kSnapshot, kPages * 4096, get.offset, Bytes(get.length, 1)}});
      }
    }
    bench.work_all();
  }
  CHECK(maps == std::vector<std::uint64_t>{0, 262144, 524288, 786432});
  REQUIRE(bench.planned.size() == 4);
  CHECK(bench.planned[3].first_page == 98304);
  CHECK(bench.planned[3].hashes.size() == (kPages - 98304) * 8);
  CHECK(fetched == 4 * 12288);
  CHECK(bench.written == fetched);
  bench.tell(SnapshotEnd{kSnapshot, kPages * 4096, {}, at(50)});
  bench.work_all();
  CHECK(bench.jobs_of<InstallCopy>() == 1);
  CHECK(has(lines, "of the 409600000 bytes of the copy 49152 came from the broker"));
}

TEST_CASE("session: a broker that names no pages, all of the copy is fetched") {
  Bench bench(std::nullopt);
  bench.pages_here = true;
  bench.start();
  bench.connect(bench.welcome(50));
  bench.messages.clear();
  SUBCASE("none") { bench.tell(SnapshotChunk{kSnapshot, 8192, 0, {}}); }
  SUBCASE("of a size that cannot be") { bench.tell(SnapshotChunk{kSnapshot, 8192, 0, {}, 4095}); }
  SUBCASE("that the copy does not consist of") {
    bench.tell(SnapshotChunk{kSnapshot, 8192, 0, {}, 65536});
  }
  bench.work_all();
  REQUIRE(bench.all<SnapshotGet>().size() == 1);
  CHECK_FALSE(bench.last<SnapshotGet>()->map);
  CHECK(bench.last<SnapshotGet>()->length == 8192);
}

TEST_CASE("session: pieces of the map that were not asked for, or are none, are ignored") {
  Bench bench(std::nullopt);
  bench.pages_here = true;
  bench.start();
  bench.connect(bench.welcome(50));
  bench.messages.clear();
  bench.tell(SnapshotChunk{kSnapshot, 1000 * 4096, 0, {}, 4096});
  bench.work_all();
  REQUIRE(bench.last<SnapshotGet>()->map);
  bench.tell(SnapshotChunk{kSnapshot, 8000, 8, Bytes(80, 1), 0, true});
  bench.tell(SnapshotChunk{kSnapshot, 8000, 0, Bytes(81, 1), 0, true});
  bench.tell(SnapshotChunk{kSnapshot, 9000, 0, Bytes(9000, 1), 0, true});
  bench.tell(SnapshotChunk{Id128{{9}}, 8000, 0, Bytes(80, 1), 0, true});
  bench.work_all();
  CHECK(bench.planned.empty());
  // A part of it: the rest is asked for. A link that is lost: the same piece again.
  bench.tell(SnapshotChunk{kSnapshot, 8000, 0, Bytes(80, 1), 0, true});
  bench.messages.clear();
  bench.work_all();
  REQUIRE(bench.last<SnapshotGet>() != nullptr);
  CHECK(bench.last<SnapshotGet>()->map);
  CHECK(bench.last<SnapshotGet>()->offset == 80);
  bench.session.on_disconnected("reset", bench.now);
  bench.collect();
  REQUIRE(bench.next_hello(seconds{5}));
  bench.messages.clear();
  bench.connect(bench.welcome(50));
  REQUIRE(bench.last<SnapshotGet>() != nullptr);
  CHECK(bench.last<SnapshotGet>()->map);
  CHECK(bench.last<SnapshotGet>()->offset == 80);
  CHECK(bench.planned.size() == 1);
}

TEST_CASE("session: an unanswered request is asked again, a copy that is gone begins anew later") {
  Bench bench(std::nullopt);
  bench.start();
  bench.connect(bench.welcome(50));
  bench.messages.clear();
  bench.advance_connected(seconds{5}, 50);
  CHECK(bench.all<SnapshotGet>().size() == 1);
  bench.tell(offer());
  bench.work_all();
  const std::size_t window = bench.all<SnapshotGet>().size();
  bench.advance_connected(seconds{5}, 50);
  CHECK(bench.all<SnapshotGet>().size() == 2 * window - 1);  // all but the first begin
  bench.forget();
  bench.tell(SnapshotGone{kSnapshot, "its disk is full"});
  CHECK(bench.all<SnapshotGet>().empty());
  CHECK(has(bench.why(), "its disk is full"));
  bench.advance_connected(seconds{2}, 50);
  REQUIRE_FALSE(bench.all<SnapshotGet>().empty());
  CHECK(bench.all<SnapshotGet>()[0].snapshot.is_zero());
}

TEST_CASE("session: LOG_GONE leads to a full copy, and its text is told") {
  Bench bench(5);
  bench.start();
  bench.connect(bench.welcome(90));
  const std::uint64_t request = bench.last<LogGet>()->request;
  bench.tell(LogGone{request + 1, at(90), Seq{60}, "not for us"});
  CHECK(bench.last<SnapshotGet>() == nullptr);
  bench.tell(LogGone{request, at(90), Seq{60}, "the log begins at 60"});
  REQUIRE(bench.last<SnapshotGet>() != nullptr);
  CHECK(has(bench.why(), "the log begins at 60"));
  CHECK(bench.state() == NodeState::kCatchingUp);
}

TEST_CASE("session: a full copy is never older than what is here, nor than what is being applied") {
  Bench bench(5);
  bench.make_live(5);
  bench.tell(Update{at(8), {piece(8)}});  // 6 and 7 are missing
  bench.advance(limits::kGapJitterMax);
  REQUIRE(bench.last<LogGet>() != nullptr);
  const std::uint64_t request = bench.last<LogGet>()->request;
  bench.tell(Update{at(6), {piece(6)}});
  REQUIRE(bench.session.take_job().has_value());
  bench.tell(LogGone{request, at(90), Seq{60}, "the log begins at 60"});
  CHECK(bench.last<SnapshotGet>() == nullptr);
  ReplicaState state = bench.replica;
  state.position = at(6);
  bench.session.on_applied(Applied{state, {}, false}, bench.now);
  bench.collect();
  REQUIRE(bench.last<SnapshotGet>() != nullptr);
  CHECK(bench.last<SnapshotGet>()->at_least == Seq{6});
}

TEST_CASE("session: pieces that do not fit lead to a full copy at once, loudly") {
  std::string lines;
  Bench bench(5);
  bench.log =
      Log(LogLevel::kError, [&](LogLevel, std::string_view line) { lines += std::string(line); });
  bench.make_live(5);
  bench.tell(Update{at(6), {piece(6)}});
  REQUIRE(bench.session.take_job().has_value());
  bench.session.on_applied(Error{Errc::kDamaged, "part 7 is not what it was"}, bench.now);
  bench.collect();
  CHECK(has(lines, "part 7 is not what it was"));
  CHECK(has(bench.why(), "part 7 is not what it was"));
  CHECK(bench.state() == NodeState::kCatchingUp);
  REQUIRE(bench.last<SnapshotGet>() != nullptr);
  bench.tell(Update{at(7), {piece(7)}});
  CHECK_FALSE(bench.session.take_job().has_value());  // never built upon
}

TEST_CASE("session: damage again right after a copy waits, after a good apply it does not") {
  Bench bench(5);
  bench.make_live(5);
  const auto damage = [&](std::uint64_t seq) {
    bench.messages.clear();
    bench.tell(Update{at(seq), {piece(seq)}});
    REQUIRE(bench.session.take_job().has_value());
    bench.session.on_applied(Error{Errc::kDamaged, "does not fit"}, bench.now);
    bench.collect();
  };
  const auto take_copy = [&](std::uint64_t seq) {
    bench.tell(SnapshotChunk{kSnapshot, 0, 0, {}});
    bench.work_all();
    bench.tell(SnapshotEnd{kSnapshot, 0, {}, at(seq)});
    bench.work_all();
    bench.answer_log(seq);
    REQUIRE(bench.state() == NodeState::kLive);
  };
  damage(6);
  REQUIRE(bench.last<SnapshotGet>() != nullptr);
  take_copy(6);
  bench.tell(Update{at(7), {piece(7)}});
  bench.work_all();  // good
  damage(8);
  REQUIRE(bench.last<SnapshotGet>() != nullptr);
  take_copy(8);
  damage(9);
  CHECK(bench.last<SnapshotGet>() == nullptr);
  bench.advance_connected(seconds{2}, 9);
  CHECK(bench.last<SnapshotGet>() != nullptr);
}

TEST_CASE("session: copies that prove damaged are asked for ever less often, up to 60 s") {
  Bench bench(std::nullopt);
  bench.start();
  bench.connect(bench.welcome(50));
  Duration last{};
  Duration longest{};
  for (int i = 0; i < 12; ++i) {
    bench.messages.clear();
    bench.tell(SnapshotChunk{kSnapshot, 0, 0, {}});
    CHECK(bench.work());  // begins
    if (i == 0) bench.work_all();
    bench.tell(SnapshotEnd{kSnapshot, 0, {}, at(50)});
    REQUIRE(bench.session.take_job().has_value());
    bench.session.on_applied(Error{Errc::kDamaged, "the hash is wrong"}, bench.now);
    bench.forget();
    const TimePoint failed = bench.now;
    while (bench.all<SnapshotGet>().empty()) {
      bench.advance_connected(milliseconds{500}, 50);
      REQUIRE(bench.now - failed <= seconds{61});
    }
    last = bench.now - failed;
    longest = std::max(longest, last);
  }
  CHECK(longest >= seconds{30});
}

TEST_CASE("session: another error of the store is no reason for a copy, it is tried again") {
  Bench bench(5);
  bench.make_live(5);
  bench.tell(Update{at(6), {piece(6)}});
  REQUIRE(bench.session.take_job().has_value());
  bench.session.on_applied(Error{Errc::kFailed, "busy elsewhere"}, bench.now);
  bench.collect();
  CHECK(bench.last<SnapshotGet>() == nullptr);
  CHECK(has(bench.why(), "busy elsewhere"));
  bench.advance_connected(seconds{2}, 6);
  REQUIRE(bench.last<LogGet>() != nullptr);
  bench.answer_log(6);
  CHECK(bench.state() == NodeState::kLive);
}

TEST_CASE("session: acknowledged, then the broker begins a new history, visible in that one") {
  Bench bench(5);
  bench.make_live(5);
  Ack ack;
  ack.seq = Seq{6};
  bench.write(1);
  ack.tx = bench.last<Write>()->tx;
  bench.tell(ack);
  bench.tell(Update{at(6), {piece(6)}});
  REQUIRE(bench.session.take_job().has_value());
  Head beat = Bench::beat(6);
  beat.head.epoch = Epoch{kEpoch.generation + 1, Id128{{8}}};
  bench.tell(beat);
  CHECK(bench.told<WriteDone>().empty());
  ReplicaState state = bench.replica;
  state.position = beat.head;
  bench.replica = state;
  bench.session.on_applied(Applied{state, {}, false}, bench.now);
  bench.collect();
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].visible);
  bench.forget();
  bench.write(2);
  ack.tx = bench.last<Write>()->tx;
  bench.tell(ack);
  REQUIRE(bench.told<WriteDone>().size() == 1);
  CHECK(bench.told<WriteDone>()[0].visible);
}

}  // namespace csa::session_copy_test
