#include "common/codec_pieces.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "common/codec.h"

namespace csa::codec_pieces_test {
namespace {

LogPiece piece(std::uint64_t seq, Bytes bytes, const Chain& before) {
  LogPiece result;
  result.header.seq = Seq{seq};
  result.header.size = bytes.size();
  ChainHasher chain(before, result.header);
  chain.update(bytes);
  result.chain = chain.digest();
  result.bytes = std::move(bytes);
  return result;
}

// Entries 5 to 8, short of what is compressed.
std::vector<LogPiece> four() {
  std::vector<LogPiece> pieces;
  Chain before{Id128{{1, 2, 3}}};
  for (std::uint64_t seq = 5; seq < 9; ++seq) {
    pieces.push_back(piece(seq, {static_cast<std::uint8_t>(seq)}, before));
    before = pieces.back().chain;
  }
  return pieces;
}

Message log_of(const std::vector<LogPiece>& pieces) {
  return LogSlice{1, {{1, {}}, Seq{8}, {}}, Seq{1}, pieces};
}

// How many chains the frame holds that the reader must be told; the message comes back as it was.
std::size_t chains_sent(const std::vector<LogPiece>& pieces) {
  const Bytes frame = encode(log_of(pieces));
  const Result<Message> back = decode(frame);
  REQUIRE_MESSAGE(back, back.error().what);
  CHECK(*back == log_of(pieces));
  std::size_t sent = 0;
  for (const LogPiece& each : pieces) {
    if (as_text(frame).find(as_text(each.chain.value.bytes)) != std::string_view::npos) ++sent;
  }
  return sent;
}

// The frame of two pieces of one byte, with nil for the chain of the one at `index`.
Result<Message> with_nil(std::vector<LogPiece> pieces, std::size_t index) {
  pieces.resize(2);
  for (LogPiece& each : pieces) each.chain = Chain{Id128{{9, 9, 9, 9, 9, 9, 9, 9}}};
  Bytes frame = encode(log_of(pieces));
  const Bytes chain = {0xC4, 16, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0, 0, 0};
  auto at = frame.begin();
  for (std::size_t i = 0; i <= index; ++i) {
    at = std::search(at, frame.end(), chain.begin(), chain.end());
    REQUIRE(at != frame.end());
    if (i < index) ++at;
  }
  *at = 0xC0;
  frame.erase(at + 1, at + 18);
  frame[7] = static_cast<std::uint8_t>(frame[7] - 17);
  frame.resize(frame.size() - 8);
  const std::uint64_t sum = hash64(frame);
  for (int i = 7; i >= 0; --i) frame.push_back(static_cast<std::uint8_t>(sum >> (8 * i)));
  return decode(frame);
}

}  // namespace

TEST_CASE("pieces: chains that follow from the first one, are not sent") {
  CHECK(chains_sent(four()) == 1);
  CHECK(chains_sent({four().front()}) == 1);
}

TEST_CASE("pieces: a chain that is another one, is sent, and the next follows from it") {
  std::vector<LogPiece> pieces = four();
  pieces[1].chain = Chain{Id128{{7, 7}}};
  CHECK(chains_sent(pieces) == 3);  // the third does not follow any more, the fourth does
  pieces[2] = piece(7, {7}, pieces[1].chain);
  pieces[3] = piece(8, {8}, pieces[2].chain);
  CHECK(chains_sent(pieces) == 2);
  pieces[2].chain = Chain{};
  CHECK(chains_sent(pieces) >= 3);
}

TEST_CASE("pieces: chains of stubs and parts, are sent; what is behind a stub follows from it") {
  std::vector<LogPiece> pieces = four();
  pieces[1].bytes.clear();  // a stub
  CHECK(chains_sent(pieces) == 2);
  pieces = four();
  pieces[0].header.size = 9;  // its end
  pieces[0].offset = 8;
  CHECK(chains_sent(pieces) == 1);
  pieces = four();
  pieces[3].header.size = 9;  // its beginning
  CHECK(chains_sent(pieces) == 2);
}

TEST_CASE("pieces: a missing chain that does not follow, is malformed") {
  const Result<Message> follows = with_nil(four(), 1);
  REQUIRE_MESSAGE(follows, follows.error().what);
  const auto& pieces = std::get<LogSlice>(*follows).pieces;
  CHECK(pieces[1].chain == codec::following_chain(pieces[0], pieces[1]));
  CHECK(with_nil(four(), 0).error().what == "decode LOG: chain is missing");
  std::vector<LogPiece> stub = four();
  stub[1].bytes.clear();
  CHECK(with_nil(stub, 1).error().what == "decode LOG: chain is missing");
  std::vector<LogPiece> part = four();
  part[1].header.size = 9;
  CHECK(with_nil(part, 1).error().what == "decode LOG: chain is missing");
}

}  // namespace csa::codec_pieces_test
