#include "common/message.h"

#include <doctest/doctest.h>

#include <random>
#include <set>

#include "common/limits.h"
#include "tests/support/sample_messages.h"

namespace csa::message_test {
namespace {

// The sample of type M.
template <class M>
M sample() {
  for (const testing::Sample& one : testing::sample_messages()) {
    if (const auto* const message = std::get_if<M>(&one.message)) return *message;
  }
  FAIL("no sample of this type");
  return {};
}

// Whether a sample is valid, and no longer is after `spoil`.
template <class M, class Spoil>
bool catches(Spoil spoil) {
  M message = sample<M>();
  if (invalid(message)) return false;
  spoil(message);
  const std::optional<std::string> why = invalid(message);
  return why && !why->empty();
}

const std::string kLong(limits::kTextMax + 1, 'x');

}  // namespace

TEST_CASE("message: every type, has a name of its own and a valid sample") {
  std::set<std::string_view> names;
  std::set<std::size_t> types;
  for (const testing::Sample& one : testing::sample_messages()) {
    CAPTURE(one.name);
    CHECK(!invalid(one.message));
    names.insert(name_of(one.message));
    types.insert(one.message.index());
  }
  CHECK(types.size() == std::variant_size_v<AnyMessage>);
  CHECK(names.size() == types.size());
  CHECK(name_of(LogSlice{}) == "LOG");
  CHECK(name_of(SnapshotChunk{}) == "SNAPSHOT_CHUNK");
  CHECK(name_of(AdminReply{}) == "ADMIN_REPLY");
}

TEST_CASE("message: words of states and codes, as the commands print them") {
  CHECK(to_string(NodeState::kCatchingUp) == "catching-up");
  CHECK(to_string(NodeState::kLeaving) == "leaving");
  CHECK(to_string(NackCode::kConstraint) == "constraint");
  CHECK(to_string(NackCode::kUnknown) == "unknown");
}

TEST_CASE("message: a greeting that contradicts itself, is invalid") {
  CHECK(catches<Hello>([](Hello& m) { m.protocol_min = 0; }));
  CHECK(catches<Hello>([](Hello& m) { m.protocol_min = 2; }));
  CHECK(catches<Hello>([](Hello& m) { m.role = static_cast<Role>(0); }));
  CHECK(catches<Hello>([](Hello& m) { m.role = static_cast<Role>(4); }));
  CHECK(catches<Hello>([](Hello& m) { m.db.reset(); }));
  CHECK(catches<Hello>([](Hello& m) { m.app = kLong; }));
  CHECK(catches<Hello>([](Hello& m) { m.group = kLong; }));
  CHECK(catches<Hello>([](Hello& m) { m.app_version = kLong; }));
  CHECK(catches<Hello>([](Hello& m) { m.program = kLong; }));
  CHECK(catches<Hello>([](Hello& m) { m.hostname = kLong; }));
  CHECK(catches<Welcome>([](Welcome& m) { m.protocol = 0; }));
  CHECK(catches<Welcome>([](Welcome& m) { m.pub_port = 0; }));
  CHECK(catches<Welcome>([](Welcome& m) { m.heartbeat_ms = 0; }));
  CHECK(catches<Welcome>([](Welcome& m) { m.node_timeout_ms = m.heartbeat_ms - 1; }));
  CHECK(catches<Welcome>([](Welcome& m) { m.hostname = kLong; }));
  CHECK(catches<Refused>([](Refused& m) { m.code = static_cast<RefusalCode>(8); }));
  CHECK(catches<Ping>([](Ping& m) { m.state = static_cast<NodeState>(0); }));
}

TEST_CASE("message: a write or answer beyond its limits, is invalid") {
  CHECK(catches<Write>([](Write& m) { m.tx.counter = 0; }));
  CHECK(catches<Write>([](Write& m) { m.expect = -1; }));
  CHECK(catches<Write>([](Write& m) { m.parameters.resize(limits::kParametersMax + 1); }));
  CHECK(catches<Write>([](Write& m) { m.parameters = {Bytes(limits::kFrameMax)}; }));
  CHECK(catches<Migrate>([](Migrate& m) { m.tx.counter = 0; }));
  CHECK(catches<Migrate>([](Migrate& m) { m.sql.resize(limits::kWriteMax + 1); }));
  CHECK(catches<Rules>([](Rules& m) { m.tx.counter = 0; }));
  CHECK(catches<Rules>([](Rules& m) { m.rules.resize(limits::kRuleSettingsMax + 1); }));
  CHECK(catches<Rules>([](Rules& m) { m.rules.at(0).rule.resize(limits::kRuleNameMax + 1); }));
  CHECK(catches<Conflict>([](Conflict& m) { m.tx.counter = 0; }));
  CHECK(catches<Conflict>([](Conflict& m) { m.verb = static_cast<ConflictVerb>(8); }));
  CHECK(catches<Ack>([](Ack& m) { m.rows_lost = true; }));
  CHECK(catches<Ack>([](Ack& m) { m.rows.at(1).pop_back(); }));
  CHECK(catches<Ack>([](Ack& m) { m.rows.at(1).at(1) = Bytes(limits::kRowsMax); }));
  CHECK(catches<Nack>([](Nack& m) { m.code = static_cast<NackCode>(11); }));
  CHECK(catches<RowsGet>([](RowsGet& m) { m.buckets = {1024}; }));
  CHECK(catches<RowsGet>([](RowsGet& m) { m.buckets.assign(1025, 1); }));
  CHECK(catches<Admin>([](Admin& m) { m.verb = static_cast<AdminVerb>(5); }));
  CHECK(catches<Presence>([](Presence& m) { m.event = static_cast<PresenceEvent>(0); }));
  CHECK(catches<Presence>([](Presence& m) { m.address = kLong; }));
}

TEST_CASE("message: a time that no clock shows, is invalid in what a clock is measured by") {
  for (const std::int64_t ms : {std::int64_t{1} << 52U, INT64_MAX, INT64_MIN}) {
    CHECK(catches<Pong>([ms](Pong& m) { m.time.ms = ms; }));
    CHECK(catches<Pong>([ms](Pong& m) { m.scale.since.ms = ms; }));
  }
}

TEST_CASE("message: log pieces that cannot follow each other, are invalid") {
  CHECK(catches<LogSlice>([](LogSlice& m) { m.pieces[1].header.seq.value += 1; }));
  CHECK(catches<LogSlice>([](LogSlice& m) { m.pieces[1].offset = 1; }));
  CHECK(catches<LogSlice>([](LogSlice& m) { m.pieces[0].offset = 7; }));
  CHECK(catches<LogSlice>([](LogSlice& m) { m.pieces[0].bytes.push_back(1); }));
  CHECK(catches<LogSlice>([](LogSlice& m) { m.pieces[0].header.hostname = kLong; }));
  CHECK(catches<LogSlice>([](LogSlice& m) { m.pieces[0].header.kind = EntryKind{}; }));
  CHECK(catches<LogSlice>([](LogSlice& m) { m.head.seq = Seq{121}; }));
  CHECK(catches<LogSlice>([](LogSlice& m) {
    m.pieces[1].bytes.resize(limits::kPieceMax + 1);
    m.pieces[1].header.size = limits::kPieceMax + 1;
  }));
  CHECK(catches<Update>([](Update& m) { m.pieces.clear(); }));
  CHECK(catches<Update>([](Update& m) { m.pieces[0].bytes.pop_back(); }));
  CHECK(catches<Update>([](Update& m) { m.pieces[0].offset = 3; }));
  CHECK(catches<Update>([](Update& m) { m.head.chain = {}; }));
  CHECK(catches<Update>([](Update& m) { m.head.seq = m.head.seq.next(); }));
  CHECK(catches<Update>([](Update& m) {
    m.pieces.assign(limits::kPiecesMax + 1, m.pieces.front());
    for (std::size_t i = 0; i < m.pieces.size(); ++i) m.pieces[i].header.seq = Seq{i + 1};
    m.head.seq = m.pieces.back().header.seq;
  }));
  CHECK(catches<SnapshotChunk>([](SnapshotChunk& m) { m.offset = m.total; }));
  CHECK(catches<SnapshotChunk>([](SnapshotChunk& m) {
    m.total = limits::kFrameMax;
    m.bytes.resize(limits::kChunkMax + 1);
  }));
}

TEST_CASE("message: counters that would leave others none") {
  constexpr std::uint64_t kMost = limits::kCounterMax;
  CHECK(catches<Write>([](Write& m) { m.tx.counter = kMost + 1; }));
  CHECK(catches<Migrate>([](Migrate& m) { m.tx.counter = kMost + 1; }));
  CHECK(catches<Rules>([](Rules& m) { m.tx.counter = kMost + 1; }));
  CHECK(catches<Conflict>([](Conflict& m) { m.tx.counter = kMost + 1; }));
  CHECK(catches<Replay>([](Replay& m) { m.header.tx.counter = kMost + 1; }));
  // An older csa has run such ones; what is told of them must reach the master.
  const TxId far{NodeId{Id128{{1}}}, ~std::uint64_t{0}};
  CHECK(!catches<Replay>([&](Replay& m) { m.header.lost = far; }));
  CHECK(!catches<Replay>([&](Replay& m) { m.header.origin = far; }));
  CHECK(catches<Replay>([&](Replay& m) {
    m.header.lost = {far.node, 1};
    m.header.base.seq = Seq{kMost};
  }));
  Write write = sample<Write>();
  write.tx.counter = kMost;
  CHECK(!invalid(write));
}

}  // namespace csa::message_test
