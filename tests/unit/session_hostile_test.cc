// Session: brokers that say anything at any time.
#include <doctest/doctest.h>

#include <map>
#include <random>

#include "node/session.h"
#include "tests/unit/session_bench.h"

namespace csa::session_hostile_test {

using namespace session_bench;

namespace {

struct Hostile {
  explicit Hostile(std::uint64_t seed) : random(seed) {}
  std::uint64_t below(std::uint64_t bound) { return random() % bound; }

  Position position() {
    Position made = at(below(12));
    if (below(6) == 0) made.epoch = {below(4), Id128{{static_cast<std::uint8_t>(below(3))}}};
    if (below(9) == 0) made.seq = Seq{~std::uint64_t{0}};
    return made;
  }
  LogPiece any_piece() {
    LogPiece made = piece(below(12));
    if (below(4) == 0) made.offset = below(9);
    if (below(4) == 0) made.header.size = below(9);
    return made;
  }
  TxId tx() { return {below(3) == 0 ? NodeId{} : kNode, 95 + below(20)}; }
  Id128 snapshot() { return below(4) == 0 ? Id128{} : kSnapshot; }

  Message any(const Bench& bench) {
    const LogGet* get = bench.last<LogGet>();
    const std::uint64_t request = get != nullptr && below(3) != 0 ? get->request : below(5);
    std::vector<LogPiece> pieces;
    for (std::uint64_t i = below(4); i > 0; --i) pieces.push_back(any_piece());
    Welcome welcome = bench.welcome(below(12));
    if (below(5) == 0) welcome.head = position();
    if (below(5) == 0) welcome.last_counter = below(3) * 3000;
    if (below(9) == 0) welcome.db = DbId{};
    Ack ack;
    ack.tx = tx();
    ack.seq = Seq{below(12)};
    switch (below(20)) {
      case 0:
      case 1:
      case 2:
        return welcome;
      case 3:
      case 4:
      case 5:
        return Proof{below(9) == 0 ? Id128{} : bench.nonce, position()};
      case 6:
        return Refused{RefusalCode::kFull, "full"};
      case 7:
        return Rehello{};
      case 8:
        return Goodbye{"x"};
      case 9:
        return Pong{below(3), position(), {}, static_cast<std::uint32_t>(below(2) * 90000)};
      case 10:
        return ack;
      case 11:
        return Nack{tx(), static_cast<NackCode>(1 + below(10)), "no", 0};
      case 12:
      case 13:
        return LogSlice{request, position(), Seq{below(5)}, std::move(pieces)};
      case 14:
        return LogGone{request, position(), Seq{}, "gone"};
      case 15:
        if (below(2) == 0) {
          return SnapshotChunk{snapshot(),    220 * 4096, below(3) * 880,
                               Bytes(880, 1), 4096,       below(2) == 0};
        }
        return SnapshotChunk{snapshot(), below(900000), below(3) * limits::kChunkMax,
                             Bytes(below(3) * 100000, 1)};
      case 16:
        return SnapshotEnd{snapshot(), below(2) * 900000, {}, position()};
      case 17:
        return SnapshotGone{snapshot(), "gone"};
      case 18:
        return Update{position(), std::move(pieces)};
      default:
        return below(6) == 0 ? Message{Hello{}} : Message{Bench::beat(below(12))};
    }
  }

  std::mt19937_64 random;
};

// The store answers whatever it likes, too.
void answer_job(Bench& bench, Hostile& hostile) {
  const std::optional<StoreJob> job = bench.session.take_job();
  if (!job) return;
  if (std::holds_alternative<ApplyPieces>(*job) || std::holds_alternative<InstallCopy>(*job)) {
    if (hostile.below(3) == 0) {
      bench.session.on_applied(Error{Errc::kDamaged, "wrong"}, bench.now);
    } else {
      bench.replica.db = kDb;
      bench.replica.position = at(hostile.below(12));
      bench.session.on_applied(Applied{bench.replica, {}, false}, bench.now);
    }
  } else if (std::holds_alternative<BeginDownload>(*job)) {
    bench.session.on_download(hostile.below(2) == 0, bench.now);
  } else if (std::holds_alternative<PlanCopy>(*job)) {
    CopyPlan plan;
    if (hostile.below(2) == 0) plan.missing = {{hostile.below(200) * 4096, 4096}};
    bench.session.on_planned(plan, bench.now);
  } else if (const auto* chunk = std::get_if<WriteChunk>(&*job)) {
    bench.session.on_chunk_written(chunk->bytes.size(), bench.now);
  } else if (std::holds_alternative<ReserveCounters>(*job)) {
    bench.replica.counter += 1000;
    bench.session.on_counters(bench.replica.counter, bench.now);
  } else if (std::holds_alternative<RenewIdentity>(*job)) {
    bench.replica.node.value.bytes[15]++;
    bench.session.on_identity(bench.replica, bench.now);
  } else if (std::holds_alternative<ProbeDisk>(*job)) {
    bench.session.on_probe(hostile.below(2) == 0, bench.now);
  }
}

}  // namespace

TEST_CASE("session: any message in any state, no crash, no spin, each write has one outcome") {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    CAPTURE(seed);
    Hostile hostile(seed);
    Bench bench(seed % 3 == 0 ? std::nullopt : std::optional<std::uint64_t>{5});
    bench.start();
    std::uint64_t calls = 0;
    std::map<std::uint64_t, int> done;
    for (int step = 0; step < 600; ++step) {
      bench.tell(hostile.any(bench));
      if (hostile.below(4) != 0) answer_job(bench, hostile);
      if (hostile.below(9) == 0) bench.write(++calls, milliseconds{hostile.below(4000)});
      if (hostile.below(40) == 0) bench.session.on_disconnected("cut", bench.now);
      if (hostile.below(4) == 0) bench.advance(milliseconds{hostile.below(700)});
      bench.collect();
      for (const WriteDone& one : bench.told<WriteDone>()) ++done[one.call];
      bench.events.clear();
      if (bench.messages.size() > 50)
        bench.messages.erase(bench.messages.begin(), bench.messages.end() - 20);
    }
    bench.session.leave("end", bench.now);
    bench.collect();
    for (const WriteDone& one : bench.told<WriteDone>()) ++done[one.call];
    CHECK(done.size() == calls);
    for (const auto& [call, times] : done) CHECK(times == 1);
  }
}

}  // namespace csa::session_hostile_test
