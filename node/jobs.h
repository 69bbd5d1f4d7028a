// What passes between the node's core and its replica, and whoever compares it with the master:
// plain values, no SQLite.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/clock_anchor.h"
#include "common/message.h"
#include "common/types.h"

namespace csa {

struct ReplicaState {
  NodeId node;
  std::optional<DbId> db;  // nothing: no copy yet
  std::optional<Position> position;
  std::uint64_t partial = 0;  // bytes of the entry after position that are already here
  std::uint64_t schema_version = 0;
  std::uint64_t generation_seen = 0;
  std::uint64_t counter = 0;  // highest TxId counter that may be in use
  JournalState journal;
  std::optional<ClockAnchor> clock;  // the last measurement of broker's time
  WallTime edited{INT64_MIN};        // of the journal's last entry when the replica was opened
};

struct Applied {
  ReplicaState state;
  std::vector<std::string> tables;  // that changed, each once
  bool schema_changed = false;
  // A full copy has taken the place of content that the master's history does not have.
  std::string kept_as = {};  // empty: nothing was kept
  std::string kept_why = {};
};

// Bytes of a full copy.
struct CopyRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool operator==(const CopyRange&) const = default;
};
// What of a part of a full copy is here, and what must be fetched.
struct CopyPlan {
  std::uint64_t here = 0;  // bytes
  std::vector<CopyRange> missing;
};

// A write without a broker.
struct OfflineWrite {
  Write write;                        // with its TxId
  Id128 request_hash;                 // set where it was sent under this TxId and no answer came
  WallTime edited;                    // now, in broker's time, as far as known ...
  std::uint32_t edited_error_ms = 0;  // ... right to so much
  std::uint64_t boot = 0;             // and by the clock since the boot: see JournalHeader
  std::int64_t boot_ms = 0;
  WallTime wall;
  std::uint64_t scale = 0;
  Duration may_take = Duration::max();  // no statement still runs then
};
struct Journaled {
  TxId tx;
  std::int64_t changes = 0;
  std::optional<std::int64_t> last_insert_rowid;
  std::vector<std::string> columns;
  std::vector<Row> rows;
};
struct OfflineDone {
  // Ack: the replica shows that the master has committed this TxId; nothing was run. Nack: rejected
  // as the broker would have; nothing changed.
  std::variant<Journaled, Ack, Nack> answer;
  ReplicaState state;
  std::vector<std::string> tables;  // that changed
};

// For the comparison with the master, from the broker.
using CheckJob = std::variant<DigestReply, RowsReply>;
// From it, for the broker. A Checked ends the comparison.
using CheckAnswer = std::variant<RowsGet, Checked>;
// The rows that differ, as they are here.
struct KeptRows {
  std::string file = {};    // that holds them, for good; empty: none does
  std::string failed = {};  // why they could not be kept, though there are some; for people
};

}  // namespace csa
