// An entry of the log: what it says of its transaction, and how its changes travel in pieces. Plain
// values; part of message.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/bytes.h"
#include "common/types.h"

namespace csa {

enum class EntryKind : std::uint8_t {
  kChanges = 1,  // row changes
  kSchema = 2,   // holds schema statements; schema_version goes up by one after it
  kCopy = 3,     // cannot be repeated exactly: whoever meets it takes a full copy
};

// What the log says of one transaction beside its changes.
struct EntryHeader {
  Seq seq;
  TxId tx;
  WallTime time;                     // broker's time at commit
  std::string hostname;              // of the origin
  std::uint64_t schema_version = 0;  // in force before this entry
  EntryKind kind = EntryKind::kChanges;
  Id128 request_hash;        // of the write's body, for TxId's outcome
  std::int64_t changes = 0;  // rows changed by the call's own statements
  std::optional<std::int64_t> last_insert_rowid;
  std::uint64_t size = 0;  // bytes of the changeset
  // When it was journaled on a node, in broker's time, right to edited_error_ms; else `time`.
  WallTime edited;
  std::uint32_t edited_error_ms = 0;
  // Counters of tx.node up to this one have outcomes that nobody will ask for again.
  std::uint64_t confirmed = 0;
  bool operator==(const EntryHeader&) const = default;
};

// Bytes `offset`.. of the changeset of one log entry. Whole when offset is 0 and bytes has
// header.size bytes; a stub when bytes is empty though header.size is not 0.
struct LogPiece {
  EntryHeader header;
  Chain chain;  // after this entry
  std::uint64_t offset = 0;
  Bytes bytes;
  [[nodiscard]] bool is_stub() const { return bytes.empty() && offset < header.size; }
  [[nodiscard]] bool completes() const { return offset + bytes.size() == header.size; }
  bool operator==(const LogPiece&) const = default;
};

// As invalid() of message.h.
[[nodiscard]] std::optional<std::string> invalid(const EntryHeader& header);

}  // namespace csa
