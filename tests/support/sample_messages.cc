#include "tests/support/sample_messages.h"

#include "common/codec.h"

namespace csa::testing {
namespace {

Id128 id(std::uint8_t first) {
  Id128 value;
  for (std::size_t i = 0; i < value.bytes.size(); ++i) {
    value.bytes[i] = static_cast<std::uint8_t>(first + i);
  }
  return value;
}

Position position(std::uint64_t seq) { return {{3, id(0x30)}, Seq{seq}, Chain{id(0x40)}}; }

const TxId kTx{NodeId{id(0x10)}, 1001};
const WallTime kTime{1767225600123};

LogPiece piece(std::uint64_t seq, std::uint64_t size, Bytes bytes) {
  LogPiece result;
  result.header = {Seq{seq}, kTx, kTime, "till-2", 7,     EntryKind::kChanges,
                   id(0x50), -1,  12345, size,     kTime, 0};
  result.chain = Chain{id(0x40)};
  result.bytes = std::move(bytes);
  return result;
}

Hello hello() {
  Hello m;
  m.app = "csa";
  m.group = "workshop";
  m.app_version = "2.1";
  m.program = "csa-node 0.1.0";
  m.hostname = "till-2";
  m.node = kTx.node;
  m.incarnation = id(0x20);
  m.proof_nonce = id(0x70);
  m.db = DbId{id(0x60)};
  m.position = position(120);
  m.generation_seen = 3;
  m.counter = 2000;
  m.confirmed = 990;
  m.followed_at = "192.168.1.7:5775";
  return m;
}

// The second piece's chain follows from the first one's; the third's does not.
LogSlice chained() {
  LogSlice log{10, position(123), Seq{5}, {piece(121, 1, {1}), piece(122, 1, {2})}};
  ChainHasher chain(log.pieces.front().chain, log.pieces.back().header);
  chain.update(log.pieces.back().bytes);
  log.pieces.back().chain = chain.digest();
  log.pieces.push_back(piece(123, 1, {3}));
  return log;
}

Ack ack() {
  Ack m;
  m.tx = kTx;
  m.seq = Seq{121};
  m.changes = 2;
  m.last_insert_rowid = -5;
  m.schema_version = 7;
  m.columns = {"id", "name", "price", "picture", "note", "wide"};
  m.rows = {{std::int64_t{1}, Text{"nut"}, 0.25, Bytes{0, 255}, Null{}, Text16{u"\xD800z"}},
            {INT64_MIN, Text{std::string("\xFF\0", 2)}, -0.0, Bytes{}, Null{}, Text16{u""}}};
  return m;
}

}  // namespace

std::vector<Sample> sample_messages() {
  const Update update{position(122), {piece(121, 3, {1, 2, 3}), piece(122, 100000, {})}};
  Hello first;
  first.app = "csa";
  first.group = "default";
  Welcome welcome;
  welcome = {1,     id(0x80), DbId{id(0x60)}, position(122),      Seq{5}, 7, 5776, 10000, 30000,
             30000, 1001,     "server",       "csa-broker 0.1.0", true};
  Ack bare;
  bare.tx = kTx;
  bare.seq = Seq{1};
  bare.repeated = true;
  bare.rows_lost = true;
  LogPiece rest = piece(121, 6, {4, 5, 6});
  rest.offset = 3;
  const Row parameters = {std::int64_t{7}, Text{"x"}, 1.5, Bytes{9}, Null{}, Text16{u"é"}};
  return {
      {"hello", hello()},
      {"hello_first", first},
      {"welcome", welcome},
      {"refused", Refused{RefusalCode::kApplication, "Another group."}},
      {"rehello", Rehello{}},
      {"goodbye", Goodbye{"stopped"}},
      {"ping", Ping{42, NodeState::kLive, position(122), 0, 990}},
      {"pong", Pong{42, position(122), kTime, 17, {99, 98, WallTime{1767225000000}}}},
      {"write", Write{kTx, "INSERT INTO item VALUES(?,?,?,?,?,?)", parameters, 1, 29000, 77}},
      {"migrate", Migrate{kTx, "ALTER TABLE item ADD note TEXT", 8}},
      {"rules", Rules{kTx, {{"item", "qty", "sum"}, {"item", "", "atomic"}}, true}},
      {"conflict", Conflict{kTx, 17, ConflictVerb::kRestore}},
      {"outcome_get", OutcomeGet{kTx}},
      {"ack", ack()},
      {"ack_repeated", bare},
      {"nack", Nack{kTx, NackCode::kConstraint, "UNIQUE constraint failed: item.id", 2}},
      {"replay",
       Replay{{kTx, position(118), 7, kTime, 250, 77, 360000, WallTime{1767225600999}, 99, id(0x50),
               2, 12345, 6, TxId{NodeId{id(0x60)}, 41}, "till-2", TxId{NodeId{id(0x70)}, 40}},
              990,
              1000,
              -3600000,
              20,
              id(0xB0),
              3,
              {4, 5, 6}}},
      {"replayed", Replayed{kTx, ReplayResult::kMerged, 6, Seq{123}, "", {{"item", 7, 12}}}},
      {"log_get", LogGet{9, position(120), 0, 1048576}},
      {"log", LogSlice{9, position(122), Seq{5}, {rest, piece(122, 2, {7, 8})}}},
      {"log_chained", chained()},
      {"log_gone", LogGone{9, position(122), Seq{5}, "The log begins at 5."}},
      {"snapshot_get", SnapshotGet{id(0x90), 262144, 262144, Seq{122}, true}},
      {"snapshot_chunk", SnapshotChunk{id(0x90), 8192, 4096, {0xDE, 0xAD, 0xBE, 0xEF}, 4096, true}},
      {"snapshot_end", SnapshotEnd{id(0x90), 8192, id(0xA0), position(121)}},
      {"snapshot_gone", SnapshotGone{id(0x90), "The broker no longer holds this copy."}},
      {"layout_get", LayoutGet{7}},
      {"layout", LayoutReply{7, R"({"tables":[]})"}},
      {"update", update},
      {"head", Head{position(122), Seq{5}, id(0x80), kTime, 0}},
      {"proof", Proof{id(0x70), position(122)}},
      {"presence", Presence{PresenceEvent::kLost, kTx.node, "till-2", "192.168.1.7", kTime}},
      {"admin", Admin{1, AdminVerb::kNodes}},
      {"admin_reply", AdminReply{1, true, "", R"({"nodes":[]})"}},
      {"digest_get", DigestGet{3}},
      {"digest", DigestReply{3, 0, position(122), id(0x11), {{"item", true, 2, 7, 9}}, ""}},
      {"rows_get", RowsGet{4, position(122), "item", {0, 1023}}},
      {"rows", RowsReply{4, position(123), {{{Value(std::int64_t{7})}, 5, 6}}, ""}},
      {"checked", Checked{5,
                          position(122),
                          id(0x11),
                          {{"item", true, 2, 7, 8}},
                          {{"item", 1, {Value(std::int64_t{7})}, {Value(std::int64_t{7})}}},
                          0,
                          ""}},
  };
}

Sample compressed_sample() {
  LogSlice log{9, position(130), Seq{5}, {}};
  for (std::uint64_t seq = 121; seq <= 130; ++seq) {
    log.pieces.push_back(piece(seq, 60, Bytes(60, static_cast<std::uint8_t>(seq))));
  }
  return {"log_compressed", log};
}

Beacon sample_beacon() {
  Beacon beacon;
  beacon.kind = BeaconKind::kAnnounce;
  beacon.flags = 2;
  beacon.protocol_min = 1;
  beacon.protocol_max = 1;
  beacon.cluster = cluster_id("csa", "workshop");
  beacon.generation = 3;
  beacon.boot = 0x0102030405060708;
  beacon.port = 5775;
  beacon.pub_port = 5776;
  beacon.interval_ms = 1000;
  beacon.key[0] = 0xAA;
  beacon.key[31] = 0xBB;
  beacon.nonce = id(0x70);
  return beacon;
}

}  // namespace csa::testing
