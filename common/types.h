// The identities of csa: who, which database, which history, which transaction, which moment.
// Plain values: copyable, comparable, no ownership, safe to use from any thread.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace csa {

// Monotonic time. Cores are given it as `now`; only system_clock.h reads the clock.
using TimePoint = std::chrono::steady_clock::time_point;
using Duration = std::chrono::steady_clock::duration;

// Wall-clock time, milliseconds since 1970-01-01T00:00:00Z, as stored in the log.
struct WallTime {
  std::int64_t ms = 0;
  auto operator<=>(const WallTime&) const = default;
};

// 128 bits compared for equality and usable as a map key; the order means nothing.
struct Id128 {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const Id128&) const = default;
  [[nodiscard]] bool is_zero() const { return *this == Id128{}; }
};

// A node's replica; random, made with the replica.
struct NodeId {
  Id128 value;
  auto operator<=>(const NodeId&) const = default;
};

// One shared database; random, made by create or adopt, kept by restore.
struct DbId {
  Id128 value;
  auto operator<=>(const DbId&) const = default;
};

// The idempotency key of a write: its origin and that origin's own counter (from 1).
struct TxId {
  NodeId node;
  std::uint64_t counter = 0;
  auto operator<=>(const TxId&) const = default;
};

// Number of a committed transaction inside an Epoch. 0 is the state before the first.
struct Seq {
  std::uint64_t value = 0;
  auto operator<=>(const Seq&) const = default;
  [[nodiscard]] Seq next() const { return Seq{value + 1}; }
};

// One history of the master. Ids compare for equality, generations order histories.
struct Epoch {
  std::uint64_t generation = 0;
  Id128 id;
  bool operator==(const Epoch&) const = default;
};

// Hash over everything a history has done up to a Seq.
struct Chain {
  Id128 value;
  bool operator==(const Chain&) const = default;
};

// A state of the database. Equal positions mean equal content.
struct Position {
  Epoch epoch;
  Seq seq;
  Chain chain;
  bool operator==(const Position&) const = default;
};

// Where reading of the log goes on: byte `offset` of the body of entry `seq`.
struct Cursor {
  Seq seq;
  std::uint64_t offset = 0;
  auto operator<=>(const Cursor&) const = default;
};

// 32 lower-case hex digits.
[[nodiscard]] std::string to_string(const Id128& id);
[[nodiscard]] std::string to_string(const NodeId& id);
[[nodiscard]] std::string to_string(const DbId& id);
// "NODE:COUNTER", NODE in 32 hex digits; parse_tx_id reads it back.
[[nodiscard]] std::string to_string(const TxId& tx);
// "GENERATION.ID", ID the first 8 hex digits.
[[nodiscard]] std::string to_string(const Epoch& epoch);
// "EPOCH:SEQ".
[[nodiscard]] std::string to_string(const Position& position);
// UTC, "2026-01-31T09:00:00.123Z".
[[nodiscard]] std::string to_string(WallTime time);

[[nodiscard]] std::optional<Id128> parse_id128(std::string_view hex);
[[nodiscard]] std::optional<TxId> parse_tx_id(std::string_view text);

}  // namespace csa
