// A journaled transaction of a node into the master: row by row by the rules (merge_row.h), keys
// that collide are changed and references follow, what loses goes to the inbox, what would break a
// constraint is parked whole. Belongs to the ledger's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "broker/edits.h"
#include "common/capture.h"
#include "common/message.h"
#include "common/spill.h"
#include "common/sqlite.h"
#include "common/store_meta.h"

namespace csa {

struct ReplayEntry {
  JournalHeader header;
  std::uint64_t first = 0;  // names the journal, with header.tx.node
  std::string hostname;
  const Spill& body;  // complete, its checksum proved
};

struct MergeContext {
  const Meta& meta;  // the master before this entry; its log entry will be meta.position.seq.next()
  WallTime time;     // of the commit
  std::int64_t wall_ahead_ms = 0;  // the broker's wall clock, of `time`
  bool restoring = false;
  // Whose entries of the log the journal's replica knew; nothing: those of the entry's node.
  std::optional<NodeId> author = std::nullopt;
};

struct MergeOutcome {
  ReplayResult result = ReplayResult::kApplied;
  std::string text;             // why, where there is something to say
  std::vector<KeyChange> keys;  // at most limits::kKeyChangesMax
  std::int64_t rows = 0;        // of the application that changed at the master
};

class Merge {
 public:
  // All outlive this.
  Merge(const Database& db, Capture& capture, EditIndex& edits);
  ~Merge();
  Merge(const Merge&) = delete;
  Merge& operator=(const Merge&) = delete;

  // Makes of the entry what the rules say, inbox and csa_remap included, whatever the entry holds.
  // `before` is written before the entry, and again where what the entry made is taken back.
  // REQUIRES: a transaction is open, foreign keys are off, capture has begun and is empty; it still
  // runs on return (and may have been begun anew). Throws SqliteError for the disk: the transaction
  // must then be rolled back.
  [[nodiscard]] MergeOutcome run(const ReplayEntry& entry, const MergeContext& context,
                                 const std::function<void()>& before);
  // The master held the WRITE under this TxId rejected: the entry goes to the inbox whole.
  [[nodiscard]] MergeOutcome park(const ReplayEntry& entry, const MergeContext& context,
                                  const std::string& reason);
  // The master held the WRITE under this TxId committed, as entry `seq` of its log: nothing of the
  // entry is applied, but later entries follow to the keys of its rows there.
  [[nodiscard]] MergeOutcome stood(const ReplayEntry& entry, LogTable& log, Seq seq);
  // What became of the same entry of another copy of the replica stands for this one too: nothing
  // of it is applied, but later entries follow to the keys of its rows. What is kept of these under
  // the entry's own TxId already stays.
  [[nodiscard]] MergeOutcome stands(const ReplayEntry& entry, LogTable& log,
                                    const Replayed& outcome);
  struct Earlier {            // entries of a journal
    std::uint64_t first = 0;  // its number at the node
    const std::vector<Seq>& logged;
    const std::vector<std::pair<std::uint64_t, KeyChange>>& told;
    bool untold = false;
    std::uint64_t schema_version = 0;  // the master's
  };
  // Whether all is known of what the merges of these have written into csa_remap.
  [[nodiscard]] bool knows(const Earlier& earlier, LogTable& log);
  // It holds for the journal of the entry, a copy's. REQUIRES: it is known.
  void recall(const ReplayEntry& entry, LogTable& log, const Earlier& earlier);
  // An entry of rows that the inbox has kept (base and node) is made after all: row by row as by
  // the rule `merge`, but nothing of others is overwritten. Otherwise nothing is written, and the
  // reason is the answer. REQUIRES: as run(); its TxId and `first` are nobody's.
  [[nodiscard]] std::variant<MergeOutcome, std::string> restore(const ReplayEntry& entry,
                                                                MergeContext context);
  // The row that the journal of `tx` has lost as `kept` is in the master now, as `now`.
  void bring_back(const TxId& tx, std::uint64_t journal, const std::string& table,
                  std::int64_t kept, std::int64_t now);
  // A transaction that is not made here has written the application's tables.
  void written_by_others(const Spill& changeset);
  // Rules or schema may have changed, or a transaction was rolled back.
  void forget();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
