// The messages by which a node hands its journal over, and what a journal says of its entries: read
// schemas/protocol.md, "Replay", first. Plain values; part of message.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/bytes.h"
#include "common/clock_anchor.h"
#include "common/types.h"

namespace csa {

// What a node's journal says of one offline transaction beside its changes.
struct JournalHeader {
  TxId tx;
  Position base;                      // the replica's, under the journal
  std::uint64_t schema_version = 0;   // in force at the node
  WallTime edited;                    // broker's time, as far as the node knew it ...
  std::uint32_t edited_error_ms = 0;  // ... right to so much
  // The same moment by a clock that nobody sets: milliseconds since the node's computer was booted,
  // and a hash that names that boot. On return in the same boot the edit's time is known exactly.
  std::uint64_t boot = 0;
  std::int64_t boot_ms = 0;
  WallTime wall = {};       // and by the clock that anybody may set
  std::uint64_t scale = 0;  // of `edited` (TimeScale::id); 0: by the wall clock, over a boot
  // Of the WRITE that was sent under this TxId before; zero: none was. Of a lost entry: as the lost
  // history's log has it.
  Id128 request_hash;
  std::int64_t changes = 0;
  std::optional<std::int64_t> last_insert_rowid;
  std::uint64_t size = 0;  // bytes of the changeset (of the journal's kind, see changeset.h)
  // No offline work, but a transaction of a history that the master has lost (recover.h): under
  // which TxId it was committed there, by whom. Counter zero: offline work.
  TxId lost;
  std::string lost_hostname;
  [[nodiscard]] bool is_lost() const { return lost.counter != 0; }
  // Made while the replica had another identity: the entry's first TxId, under which a copy of the
  // replica may hand it over too (request_hash is that one's then). Counter zero: tx is the first.
  TxId origin;
  [[nodiscard]] bool is_renamed() const { return origin.counter != 0; }
  bool operator==(const JournalHeader&) const = default;
};

// One offline transaction, or a part of a large one, handed over in the journal's order.
struct Replay {
  JournalHeader header;
  std::uint64_t first = 0;         // counter of the journal's first entry: names the journal
  std::uint64_t previous = 0;      // counter of the entry before this one; 0: it is the first
  std::int64_t correction_ms = 0;  // to header.edited, as the node knows better by now ...
  std::uint32_t error_ms = 0;      // ... and right to so much then
  Id128 checksum;                  // journal_checksum() of the whole entry
  std::uint64_t offset = 0;
  Bytes bytes;
  [[nodiscard]] bool completes() const { return offset + bytes.size() == header.size; }
  bool operator==(const Replay&) const = default;
};

// What became of a journaled transaction. Wire and disk values, never reused.
enum class ReplayResult : std::uint8_t {
  kMore = 1,        // no outcome: the part is here, send the next one
  kAgain = 2,       // no outcome: what comes before it is not here, begin with the first unanswered
  kBusy = 3,        // no outcome: send it again after a while, and nothing behind it before
  kApplied = 4,     // as it was made
  kMerged = 5,      // together with what others had changed meanwhile; nothing was lost
  kSuperseded = 6,  // all its rows lost against later edits; they are in the inbox
  kSplit = 7,       // some of its rows won, others lost; those are in the inbox
  kParked = 8,      // it could not be applied and lies in the inbox whole
  kStood = 9,       // the master held the outcome of the WRITE under this TxId; that stands
  kOffered = 10,    // lost by the master: it is in csa_lost, for a person to decide
};
[[nodiscard]] std::string_view to_string(ReplayResult result);  // "applied", "merged", ...
[[nodiscard]] constexpr bool is_outcome(ReplayResult result) {
  return result >= ReplayResult::kApplied;
}

// A row that SQLite numbered at the node, where the master had given the number to another row.
struct KeyChange {
  std::string table;
  std::int64_t before = 0;
  std::int64_t after = 0;
  bool operator==(const KeyChange&) const = default;
};

struct Replayed {
  TxId tx;
  ReplayResult result = ReplayResult::kMore;
  std::uint64_t offset = 0;     // bytes of the entry that are here
  Seq seq;                      // where the outcome is visible
  std::string text;             // why, where there is something to say
  std::vector<KeyChange> keys;  // the first limits::kKeyChangesMax; csa_remap has them all
  bool operator==(const Replayed&) const = default;
};

// What offline work waits in a replica.
struct JournalState {
  std::uint64_t entries = 0;  // transactions not yet undone
  std::uint64_t waiting = 0;  // of them, those without an outcome at the broker
  std::uint64_t first = 0;    // counter of the first one, which names the journal; 0: none
  std::uint64_t last = 0;     // and of the last one
  Seq answered_to;            // highest Seq of the outcomes
  bool keys_changed = false;  // an outcome has changed keys
};

// As invalid() of message.h.
[[nodiscard]] std::optional<std::string> invalid(const JournalHeader& header);

}  // namespace csa
