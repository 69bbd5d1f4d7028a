// What passes between the broker's core and its stores: plain values, no SQLite.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "common/message.h"
#include "common/page_map.h"

namespace csa {

// What a peer asks the ledger for, one transaction each (a Replay may be a part of one).
using WriteRequest = std::variant<Write, Migrate, Replay, Rules, Conflict>;
using WriteAnswer = std::variant<Ack, Nack, Replayed>;
[[nodiscard]] const TxId& tx_of(const WriteRequest& request);
// Tells a repeat from another request under the same TxId.
[[nodiscard]] Id128 hash_of(const WriteRequest& request);

struct WriteJob {
  WriteRequest request;
  std::string hostname;                   // of the origin
  std::uint64_t ticket = 0;               // the caller's own number, given back
  TimePoint begin_by = TimePoint::max();  // from then on it is not begun, but answered busy
  std::string link = {};                  // on which it came; no two connections have the same
};

struct WriteOutcome {
  std::uint64_t ticket = 0;
  WriteAnswer answer;
};

// What one group made durable. An ACK or UPDATE can be built only from this.
struct CommitResult {
  std::vector<WriteOutcome> outcomes;  // one a job, in the order of the jobs
  std::vector<TxId> named;             // outcomes kept under other TxIds than those of the jobs
  std::vector<LogPiece> pieces;        // what the group added to the log; large bodies as stubs
  Position head;
  Seq floor;
  std::uint64_t schema_version = 0;
  std::uint64_t log_bytes = 0;
  std::uint64_t database_bytes = 0;  // 0: not asked this time
  bool new_epoch = false;            // another program wrote to the file: everybody takes a copy
};

// A full copy that lies in the spool.
struct SnapshotInfo {
  Id128 id;
  std::uint64_t total = 0;
  Id128 hash;
  Position position;
  std::uint32_t page_size = 0;
  // Bytes of its page map: 8 a page (see spool.h).
  [[nodiscard]] std::uint64_t map_total() const {
    return page_size == 0 ? 0 : total / page_size * kPageHash;
  }
};

}  // namespace csa
