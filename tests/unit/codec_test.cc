#include "common/codec.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <msgpack.hpp>
#include <random>
#include <set>

#include "common/codec_packing.h"
#include "common/limits.h"
#include "tests/support/sample_messages.h"

namespace csa::codec_test {
namespace {

using testing::random_message;
using testing::Sample;
using testing::sample_messages;

constexpr std::size_t kPrefix = 8;
constexpr std::size_t kChecksum = 8;

void set_be(Bytes& frame, std::size_t at, std::uint64_t value, std::size_t octets) {
  for (std::size_t i = 0; i < octets; ++i) {
    frame.at(at + i) = static_cast<std::uint8_t>(value >> (8 * (octets - 1 - i)));
  }
}

// A frame around a body, with a true checksum.
Bytes frame_of(std::uint8_t type, const Bytes& body, const Bytes& payload = {}) {
  Bytes frame = {0xC5, 0x5A, kProtocolVersion, type, 0, 0, 0, 0};
  set_be(frame, 4, body.size(), 4);
  frame.insert(frame.end(), body.begin(), body.end());
  frame.insert(frame.end(), payload.begin(), payload.end());
  const std::uint64_t sum = hash64(frame);
  frame.resize(frame.size() + kChecksum);
  set_be(frame, frame.size() - kChecksum, sum, 8);
  return frame;
}

Bytes body_of(const Bytes& frame) {
  const std::size_t size = std::size_t{frame[4]} << 24U | std::size_t{frame[5]} << 16U |
                           std::size_t{frame[6]} << 8U | frame[7];
  return {frame.begin() + kPrefix, frame.begin() + static_cast<std::ptrdiff_t>(kPrefix + size)};
}

void reseal(Bytes& frame) {
  set_be(frame, frame.size() - kChecksum, hash64(ByteView(frame).first(frame.size() - kChecksum)),
         8);
}

// Hostile bytes either fail with a kind and a sentence or are a message that can be encoded.
bool harmless(ByteView frame) {
  const Result<Message> message = decode(frame);
  if (!message) {
    return !message.error().what.empty() &&
           (message.error().code == Errc::kMalformed || message.error().code == Errc::kUnknownType);
  }
  return decode(encode(*message)).has_value();
}

}  // namespace

TEST_CASE("codec: random messages of every type, come back equal") {
  std::mt19937_64 random(20260131);
  int compressed = 0;
  for (std::size_t type = 0; type < std::variant_size_v<AnyMessage>; ++type) {
    for (int round = 0; round < 60; ++round) {
      const Message message = random_message(type, random);
      CAPTURE(name_of(message));
      const auto why = invalid(message);
      REQUIRE_MESSAGE(!why, *why);
      const Bytes frame = encode(message);
      if (codec::is_packed(body_of(frame))) ++compressed;
      const Result<Message> back = decode(frame);
      REQUIRE_MESSAGE(back.has_value(), back.error().what);
      CHECK(*back == message);
    }
  }
  CHECK(compressed > 20);
}

TEST_CASE("codec: bodies are arrays that the msgpack library reads") {
  for (const Sample& sample : sample_messages()) {
    CAPTURE(sample.name);
    const Bytes body = body_of(encode(sample.message));
    std::size_t used = 0;
    const msgpack::object_handle read =
        msgpack::unpack(reinterpret_cast<const char*>(body.data()), body.size(), used);
    CHECK(used == body.size());
    CHECK(read.get().type == msgpack::type::ARRAY);
    // The library writes its shortest forms: ours must be the same bytes. Not so for REAL values,
    // which it would turn into integers (1.0, -0.0).
    if (sample.name == "ack") continue;
    msgpack::sbuffer again;
    msgpack::pack(again, read.get());
    CHECK(as_text(body) == std::string_view(again.data(), again.size()));
  }
}

TEST_CASE("codec: a frame cut anywhere, is malformed") {
  for (const Sample& sample : sample_messages()) {
    CAPTURE(sample.name);
    const Bytes frame = encode(sample.message);
    for (std::size_t size = 0; size < frame.size(); ++size) {
      const Result<Message> cut = decode(ByteView(frame).first(size));
      REQUIRE(!cut);
      CHECK(cut.error().code == Errc::kMalformed);
    }
  }
}

TEST_CASE("codec: a frame with one wrong bit, is malformed") {
  for (const Sample& sample : sample_messages()) {
    CAPTURE(sample.name);
    Bytes frame = encode(sample.message);
    for (std::size_t bit = 0; bit < frame.size() * 8; ++bit) {
      frame[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
      const Result<Message> flipped = decode(frame);
      REQUIRE(!flipped);
      CHECK(flipped.error().code == Errc::kMalformed);
      frame[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    }
  }
}

TEST_CASE("codec: wrong bits, cuts and noise behind a true checksum, do no harm") {
  std::mt19937_64 random(7);
  std::vector<Sample> samples = sample_messages();
  samples.push_back(testing::compressed_sample());
  for (const Sample& sample : samples) {
    CAPTURE(sample.name);
    const Bytes whole = encode(sample.message);
    for (std::size_t bit = 0; bit < (whole.size() - kChecksum) * 8; ++bit) {
      Bytes frame = whole;
      frame[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
      reseal(frame);
      CHECK(harmless(frame));
    }
    const Bytes body = body_of(whole);
    for (std::size_t size = 0; size < body.size(); ++size) {
      const Bytes cut(body.begin(), body.begin() + static_cast<std::ptrdiff_t>(size));
      CHECK(!decode(frame_of(whole[3], cut)));
    }
    for (int round = 0; round < 300; ++round) {
      Bytes noisy = body;
      for (std::size_t i = 0; i < 1 + random() % 4 && !noisy.empty(); ++i) {
        noisy[random() % noisy.size()] = static_cast<std::uint8_t>(random());
      }
      CHECK(harmless(frame_of(whole[3], noisy)));
    }
  }
}

TEST_CASE("codec: fields of a later program behind the known ones, are skipped") {
  Bytes body = {0x93, 5, 1, 0};  // ADMIN: request, verb, wait_ms
  REQUIRE(decode(frame_of(40, body)));
  // An array of a map with a string, an ext, a float, nested arrays, and nil.
  const Bytes tail = {0x81, 0xA1, 'k', 0x92, 0x90, 0xCA, 0, 0, 0, 0, 0xD4, 9, 1, 0xC0};
  body[0] = 0x96;
  body.insert(body.end(), tail.begin(), tail.end());
  const Result<Message> message = decode(frame_of(40, body));
  REQUIRE_MESSAGE(message.has_value(), message.error().what);
  CHECK(std::get<Admin>(*message) == Admin{5, AdminVerb::kStatus});
  body.pop_back();
  CHECK(!decode(frame_of(40, body)));
}

TEST_CASE("codec: a field that came later and is missing, keeps its default") {
  // WRITE of TxId, "x", no parameters and no expectation.
  Bytes body = {0x94, 0x92, 0xC4, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1};
  const Bytes rest = {0xA1, 'x', 0x90, 0xC0};
  body.insert(body.end(), rest.begin(), rest.end());
  const Result<Message> without = decode(frame_of(10, body));
  REQUIRE_MESSAGE(without, without.error().what);
  CHECK(std::get<Write>(*without).wait_ms == 0);
  body[0] = 0x95;
  body.push_back(7);
  const Result<Message> with = decode(frame_of(10, body));
  REQUIRE_MESSAGE(with, with.error().what);
  CHECK(std::get<Write>(*with).wait_ms == 7);
  body.back() = 0xC0;
  CHECK(!decode(frame_of(10, body)));
}

TEST_CASE("codec: missing fields, wrong types and wrong values, are named") {
  const auto what = [](const Bytes& body) { return decode(frame_of(40, body)).error().what; };
  CHECK(what({0x91, 5}) == "decode ADMIN: verb is missing");
  CHECK(what({0x92, 5, 0xA1, 'x'}) == "decode ADMIN: verb has a wrong type or value");
  CHECK(what({0x92, 5, 0xCD, 1, 1}) == "decode ADMIN: verb has a wrong type or value");
  CHECK(what({0x92, 0xFF, 1}) == "decode ADMIN: request has a wrong type or value");
  CHECK(what({0x92, 5, 9}) == "decode ADMIN: unknown verb");
  CHECK(what({0x92, 5, 1, 1}) == "decode ADMIN: bytes behind the body's array");
  CHECK(what({0x80}) == "decode ADMIN: is no array");
  CHECK(!decode(frame_of(40, {0x92, 5, 1}, {1})));
}

TEST_CASE("codec: huge declared lengths and deep nesting, fail without memory or stack") {
  // ACK whose rows claim 4 billion elements, strings and blobs of 4 GiB, arrays in arrays.
  const Bytes tx = {0x92, 0xC4, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1};
  for (const Bytes& huge : {Bytes{0xDD, 255, 255, 255, 255}, Bytes{0xDB, 255, 255, 255, 255},
                            Bytes{0xC6, 255, 255, 255, 255}, Bytes{0xDF, 255, 255, 255, 255},
                            Bytes{0xC9, 255, 255, 255, 255, 1}}) {
    for (std::size_t at = 0; at < 9; ++at) {
      Bytes body = {0x9A};
      const std::vector<Bytes> fields = {tx, {1}, {1}, {0xC0}, {1}, {0xC2}, {0xC2}, {0x90}, {0x90}};
      for (std::size_t i = 0; i < fields.size(); ++i) {
        const Bytes& field = i == at ? huge : fields[i];
        body.insert(body.end(), field.begin(), field.end());
      }
      body.insert(body.end(), huge.begin(), huge.end());
      CHECK(!decode(frame_of(13, body)));
    }
  }
  Bytes deep = {0x94, 5, 1, 0};
  deep.insert(deep.end(), 1000000, 0x91);
  CHECK(!decode(frame_of(40, deep)));
  deep.push_back(0xC0);
  CHECK(decode(frame_of(40, deep)).has_value());  // an unknown field, however deep, is skipped
}

TEST_CASE("codec: another version, an unknown type, is not malformed") {
  Bytes frame = encode(Rehello{});
  frame[2] = 9;
  reseal(frame);
  CHECK(decode(frame).error().code == Errc::kUnknownType);
  for (const std::uint8_t type : Bytes{0, 8, 19, 29, 255}) {
    CHECK(decode(frame_of(type, {0x90})).error().code == Errc::kUnknownType);
  }
}

TEST_CASE("codec: people's words that are too long, are cut at a character") {
  std::string text(limits::kTextMax - 1, 'x');
  text += "\xC3\xA9 and more";
  const Result<Message> message = decode(encode(Goodbye{text}));
  REQUIRE(message);
  CHECK(std::get<Goodbye>(*message).reason == text.substr(0, limits::kTextMax - 1));
}

TEST_CASE("codec: the largest allowed messages, fit a frame") {
  Write write{{NodeId{}, 1}, std::string(limits::kWriteMax, 'x'), {}, {}};
  CHECK(decode(encode(write)).has_value());
  Update update;
  for (std::uint64_t i = 1; i <= limits::kPiecesMax; ++i) {
    LogPiece piece;
    piece.header.seq = Seq{i};
    piece.header.hostname = std::string(64, 'h');
    piece.bytes.resize(limits::kUpdateMax / limits::kPiecesMax, 1);
    piece.header.size = piece.bytes.size();
    update.pieces.push_back(piece);
  }
  update.head.seq = Seq{limits::kPiecesMax};
  CHECK(decode(encode(update)).has_value());
  Ack ack;
  ack.columns = {"c"};
  ack.rows.assign(limits::kRowsMax / 2, {Text{"x"}});
  CHECK(decode(encode(ack)).has_value());
}

TEST_CASE("codec: log headers, round trip, damage and foreign values are errors") {
  for (const Sample& sample : sample_messages()) {
    const auto* const log = std::get_if<LogSlice>(&sample.message);
    if (log == nullptr) continue;
    EntryHeader header = log->pieces.front().header;
    const Bytes bytes = encode_header(header);
    const Result<EntryHeader> back = decode_header(bytes);
    REQUIRE(back);
    CHECK(*back == header);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      CHECK(!decode_header(ByteView(bytes).first(size)));
    }
    Bytes longer = bytes;
    longer.push_back(0);
    CHECK(!decode_header(longer));
    header.kind = static_cast<EntryKind>(9);
    CHECK(!decode_header(encode_header(header)));
  }
}

TEST_CASE("codec: chain, is the hash of chain, header and changeset however cut") {
  EntryHeader header;
  header.seq = Seq{5};
  header.hostname = "till-2";
  header.size = 5;
  const Chain before{Id128{{1, 2, 3}}};
  const Bytes changeset = {1, 2, 3, 4, 5};
  Bytes all(before.value.bytes.begin(), before.value.bytes.end());
  const Bytes head = encode_header(header);
  all.insert(all.end(), head.begin(), head.end());
  all.insert(all.end(), changeset.begin(), changeset.end());
  ChainHasher hasher(before, header);
  hasher.update(ByteView(changeset).first(2));
  hasher.update(ByteView(changeset).subspan(2));
  CHECK(hasher.digest() == Chain{hash128(all)});
}

TEST_CASE("codec: request hash, ignores the TxId and sees everything else") {
  const Write write{{NodeId{}, 1}, "UPDATE t SET a=?", {std::int64_t{1}}, 1};
  Write other = write;
  other.tx.counter = 2;
  CHECK(request_hash(write) == request_hash(other));
  std::set<Id128> seen = {request_hash(write)};
  other.sql += " ";
  CHECK(seen.insert(request_hash(other)).second);
  other = write;
  other.parameters = {1.0};
  CHECK(seen.insert(request_hash(other)).second);
  other.parameters = {Text{"1"}};
  CHECK(seen.insert(request_hash(other)).second);
  other.parameters = {Bytes{'1'}};
  CHECK(seen.insert(request_hash(other)).second);
  other = write;
  other.expect.reset();
  CHECK(seen.insert(request_hash(other)).second);
  Migrate migrate{write.tx, write.sql, {}};
  CHECK(seen.insert(request_hash(migrate)).second);
  migrate.version = 1;
  CHECK(seen.insert(request_hash(migrate)).second);
  Rules rules{write.tx, {{"t", "", "merge"}}, false};
  CHECK(seen.insert(request_hash(rules)).second);
  rules.replace = true;
  CHECK(seen.insert(request_hash(rules)).second);
  CHECK(seen.insert(request_hash(Conflict{write.tx, 1, ConflictVerb::kDismiss})).second);
  CHECK(seen.insert(request_hash(Conflict{write.tx, 1, ConflictVerb::kRestore})).second);
}

TEST_CASE("codec: rows, round trip, cut ones are errors") {
  for (const Sample& sample : sample_messages()) {
    const auto* const ack = std::get_if<Ack>(&sample.message);
    if (ack == nullptr) continue;
    const RowSet rows{ack->columns, ack->rows};
    const Bytes bytes = encode_rows(rows);
    const Result<RowSet> back = decode_rows(bytes);
    REQUIRE(back);
    CHECK(*back == rows);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      CHECK(!decode_rows(ByteView(bytes).first(size)));
    }
  }
}

TEST_CASE("codec: topics, split off again, strange ones refused") {
  for (const Sample& sample : sample_messages()) {
    const bool published = std::holds_alternative<Update>(sample.message) ||
                           std::holds_alternative<Head>(sample.message) ||
                           std::holds_alternative<Proof>(sample.message) ||
                           std::holds_alternative<Presence>(sample.message);
    if (!published) continue;
    const std::string topic = topic_of(sample.message);
    const Bytes frame = encode(sample.message);
    Bytes sent(topic.begin(), topic.end());
    sent.insert(sent.end(), frame.begin(), frame.end());
    const Result<TopicFrame> split = split_topic(sent);
    REQUIRE(split);
    CHECK(split->topic == topic);
    CHECK(std::equal(frame.begin(), frame.end(), split->frame.begin(), split->frame.end()));
  }
  CHECK(!split_topic({}));
  CHECK(!split_topic(as_bytes("x123")));
  CHECK(!split_topic(as_bytes("n123456789012345")));
  CHECK(split_topic(as_bytes("n1234567890123456"))->frame.empty());
}

}  // namespace csa::codec_test
