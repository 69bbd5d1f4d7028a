#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "common/codec.h"
#include "common/limits.h"
#include "tests/support/sample_messages.h"

namespace csa::codec_joined_test {
namespace {

Replay replay(std::uint64_t counter, std::size_t size) {
  Replay m;
  m.header.tx = {NodeId{Id128{{1, 2, 3}}}, counter};
  m.header.size = size;
  m.first = 1;
  m.previous = counter - 1;
  m.bytes.assign(size, static_cast<std::uint8_t>(counter));
  return m;
}

std::vector<Message> replays(std::size_t count, std::size_t size) {
  std::vector<Message> all;
  for (std::uint64_t counter = 1; counter <= count; ++counter) {
    all.emplace_back(replay(counter, size));
  }
  return all;
}

JoinedFrame joined(const std::vector<Message>& messages, std::size_t from = 0) {
  std::vector<const Message*> pointers;
  for (std::size_t i = from; i < messages.size(); ++i) pointers.push_back(&messages[i]);
  return encode_joined(pointers);
}

Bytes sealed(std::uint8_t type, const Bytes& body) {
  Bytes frame = {0xC5, 0x5A, kProtocolVersion, type, 0, 0};
  frame.push_back(static_cast<std::uint8_t>(body.size() >> 8U));
  frame.push_back(static_cast<std::uint8_t>(body.size()));
  frame.insert(frame.end(), body.begin(), body.end());
  const std::uint64_t sum = hash64(frame);
  for (int i = 7; i >= 0; --i) frame.push_back(static_cast<std::uint8_t>(sum >> (8 * i)));
  return frame;
}

}  // namespace

TEST_CASE("joined: many small messages share few frames, all come in their order") {
  for (const std::size_t size : {1U, 100U, 5000U, 200'000U}) {
    CAPTURE(size);
    const std::vector<Message> messages = replays(600, size);
    std::vector<Message> back;
    std::size_t frames = 0;
    std::size_t bytes = 0;
    while (back.size() < messages.size()) {
      const JoinedFrame one = joined(messages, back.size());
      const Result<std::vector<Message>> read = decode_joined(one.frame);
      REQUIRE_MESSAGE(read, read.error().what);
      REQUIRE(read->size() == one.count);
      back.insert(back.end(), read->begin(), read->end());
      bytes += one.frame.size();
      ++frames;
    }
    CHECK(back == messages);
    const std::size_t least = std::max(600 * size / limits::kJoinedBytes, std::size_t{2}) + 1;
    CHECK(frames >= least);
    CHECK(frames <= (size == 200'000 ? 600 : least + 1));
    if (size == 100) CHECK(bytes < 600 * 30);
  }
}

TEST_CASE("joined: only what may share a frame does, and only with its like") {
  std::vector<Message> messages = replays(2, 10);
  messages.emplace_back(Replayed{{NodeId{}, 1}, ReplayResult::kApplied, 1, Seq{1}, "", {}});
  messages.emplace_back(Replayed{{NodeId{}, 2}, ReplayResult::kApplied, 1, Seq{2}, "", {}});
  messages.emplace_back(Rehello{});
  messages.emplace_back(Rehello{});
  std::vector<std::size_t> counts;
  for (std::size_t at = 0; at < messages.size(); at += counts.back()) {
    counts.push_back(joined(messages, at).count);
  }
  CHECK(counts == std::vector<std::size_t>{2, 2, 1, 1});
}

TEST_CASE("joined: one alone, is the frame that it always was") {
  const std::vector<Message> one = replays(1, 50);
  CHECK(joined(one).frame == encode(one.front()));
  CHECK(decode(joined(replays(2, 5)).frame).error().what == "The frame has more than one message.");
}

TEST_CASE("joined: damaged ones, arrays of other types and too many, are refused") {
  Bytes array = {0x96, 0x92, 0xC4, 16, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1};
  const Bytes rest = {4, 1, 1, 0xA0, 0x90};
  array.insert(array.end(), rest.begin(), rest.end());  // REPLAYED
  Bytes body;
  for (std::size_t i = 0; i < limits::kJoinedMax; ++i) {
    body.insert(body.end(), array.begin(), array.end());
  }
  const Result<std::vector<Message>> most = decode_joined(sealed(16, body));
  REQUIRE_MESSAGE(most, most.error().what);
  CHECK(most->size() == limits::kJoinedMax);
  for (std::size_t cut = 1; cut < array.size(); ++cut) {
    const Bytes less(body.begin(), body.end() - static_cast<std::ptrdiff_t>(cut));
    CHECK(decode_joined(sealed(16, less)).error().code == Errc::kMalformed);
  }
  body.insert(body.end(), array.begin(), array.end());
  CHECK(decode_joined(sealed(16, body)).error().what == "The frame has too many messages.");
  CHECK(decode_joined(sealed(40, {0x92, 5, 1, 0x92, 5, 1})).error().what ==
        "decode ADMIN: bytes behind the body's array");
  CHECK(!decode_joined(sealed(16, {})));
}

TEST_CASE("joined: random messages, come back equal") {
  std::mt19937_64 random(11);
  for (const Message& kind : {Message(Replay{}), Message(Replayed{})}) {
    for (int round = 0; round < 30; ++round) {
      std::vector<Message> messages;
      for (std::size_t i = 0; i < 1 + random() % 20; ++i) {
        messages.push_back(testing::random_message(kind.index(), random));
      }
      for (std::size_t at = 0; at < messages.size();) {
        const JoinedFrame one = joined(messages, at);
        const Result<std::vector<Message>> read = decode_joined(one.frame);
        REQUIRE_MESSAGE(read, read.error().what);
        REQUIRE(read->size() == one.count);
        for (const Message& message : *read) CHECK(message == messages[at++]);
      }
    }
  }
}

}  // namespace csa::codec_joined_test
