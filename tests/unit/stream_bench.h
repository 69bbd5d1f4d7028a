// A made-up log for the tests of Stream: entries whose content follows from their number.
#pragma once

#include <chrono>
#include <utility>
#include <vector>

#include "common/message.h"

namespace csa::stream_bench {

using std::chrono::milliseconds;

inline const TimePoint kStart{std::chrono::hours{100}};
inline const Epoch kEpoch{1, Id128{{7}}};

inline Bytes body_of(std::uint64_t seq, std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(seq * 31 + i);
  return bytes;
}

inline Chain chain_of(std::uint64_t seq) {
  Chain chain;
  if (seq == 0) return chain;
  for (std::size_t i = 0; i < 8; ++i)
    chain.value.bytes.at(i) = static_cast<std::uint8_t>(seq >> (8 * i));
  chain.value.bytes.at(15) = 1;
  return chain;
}

inline Position at(std::uint64_t seq) { return {kEpoch, Seq{seq}, chain_of(seq)}; }

inline LogPiece piece(std::uint64_t seq, std::size_t size = 10) {
  LogPiece made;
  made.header.seq = Seq{seq};
  made.header.size = size;
  made.chain = chain_of(seq);
  made.bytes = body_of(seq, size);
  return made;
}

inline LogPiece part(std::uint64_t seq, std::size_t size, std::size_t from, std::size_t length) {
  LogPiece made = piece(seq, size);
  made.offset = from;
  made.bytes = Bytes(made.bytes.begin() + static_cast<std::ptrdiff_t>(from),
                     made.bytes.begin() + static_cast<std::ptrdiff_t>(from + length));
  return made;
}

inline Update update(std::uint64_t first, std::uint64_t last) {
  Update made;
  made.head = at(last);
  for (std::uint64_t seq = first; seq <= last; ++seq) made.pieces.push_back(piece(seq));
  return made;
}

inline LogSlice slice(const LogGet& get, std::uint64_t head, std::vector<LogPiece> pieces) {
  return {get.request, at(head), Seq{1}, std::move(pieces)};
}

}  // namespace csa::stream_bench
