// The offline transactions of a replica, kept in its private tables csa_journal and
// csa_journal_part, and what became of the latest of them in csa_journal_outcome. An entry's key is
// its TxId's counter. Every entry has a checksum over header and changes, proved when it is read.
// Belongs to the thread of its Database; throws SqliteError for the disk; damage is a Result.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/changeset.h"
#include "common/message.h"
#include "common/replay.h"
#include "common/result.h"
#include "common/spill.h"
#include "common/sqlite.h"
#include "common/undo.h"

namespace csa {

// What became of a journaled transaction, as csa_journal_outcome has it.
struct JournalOutcome {
  std::uint64_t counter = 0;
  WallTime edited;
  std::string result;  // to_string(ReplayResult)
  Seq seq;
  std::string text;
  std::vector<KeyChange> keys;
};

// Of a row of csa_journal: it has no outcome yet. A damaged row may have no such column, NULL,
// which is no answer.
inline constexpr const char* kEntryWaits = "ifnull(answered, 0) = 0";

class Journal {
 public:
  explicit Journal(const Database& db) : db_(db) {}  // must outlive this

  // Reads through the whole journal: at open, and after what append and mark_answered cannot tell.
  [[nodiscard]] JournalState read_state() const;

  // Inside the transaction that holds the entry's effect. REQUIRES: header.size == body.size() > 0,
  // and its counter is greater than those of the entries that are here.
  void append(const JournalHeader& header, const Spill& body, JournalState& state) const;
  [[nodiscard]] Result<std::optional<JournalHeader>> find(std::uint64_t counter) const;
  // What to send next: entries without an answer behind counter `after`, the first of them from
  // byte `offset` on, in parts of at most kPieceMax, at most `max_bytes` together but one part at
  // least. kDamaged: an entry's bytes are not what was written, or one is missing before it; the
  // sentence names it. `gaps`: what is missing is no error.
  // `max_bytes` 0: only what asks for outcomes, of at most kReplayEntriesMax entries: headers, not
  // proved, each with one byte of the changes.
  [[nodiscard]] Result<std::vector<Replay>> read(std::uint64_t after, std::uint64_t offset,
                                                 std::size_t max_bytes, bool gaps = false) const;
  // kDamaged: changes lie behind the last entry, whose own entry is missing.
  [[nodiscard]] Status prove_end() const {
    return prove_gap(unsigned_of(db_.query_int("SELECT max(entry) FROM csa_journal").value_or(0)),
                     0);
  }
  // The entry has its outcome; kept until clear(). Idempotent. Inside a transaction.
  void mark_answered(const Replayed& answer, JournalState& state) const;
  // The inverse of every change, newest first, to `take` until it fails. Memory is bounded by a few
  // hundred KiB and the largest row. Entries that were never made here are left out.
  using Take = TakeChange;
  [[nodiscard]] Status undo(const Take& take) const;
  // The master may not have the outcomes (any more): every entry is to be handed over anew; or the
  // last answered one, by which the master proves that it has all before it. Inside a transaction.
  void unmark() const;
  void unmark_last() const;
  // An answer without its outcome is damage: such entries are to be handed over anew, which the
  // master knows. How many. Inside a transaction.
  std::uint64_t unmark_doubtful() const;
  // Empties the journal; outcomes stay (the latest kOutcomesKept). Inside a transaction.
  void clear() const;
  static constexpr std::size_t kOutcomesKept = 10000;

  // Gives the entries TxIds of another NodeId, which have no outcomes yet; counters stay but where
  // has_far_counters(), and header.origin tells the first one. Returns the highest counter of
  // entries and outcomes. Inside a transaction.
  std::uint64_t rename(const NodeId& node) const;
  // Entries of an older csa, above limits::kOwnCounterMax: no broker takes their TxIds, and from
  // 2^63 on SQL has them in another order.
  [[nodiscard]] bool has_far_counters() const;
  // In the order of their counters.
  [[nodiscard]] std::vector<JournalOutcome> read_outcomes() const;
  [[nodiscard]] std::optional<JournalOutcome> find_outcome(std::uint64_t counter) const;
  // For a copy that becomes the replica: an empty journal and these outcomes.
  void replace_all(const std::vector<JournalOutcome>& outcomes) const;

 private:
  struct Entry {
    JournalHeader header;
    Id128 checksum;
    bool answered = false;
  };
  [[nodiscard]] Result<Entry> entry_of(const Statement& row) const;
  [[nodiscard]] Status prove(const Entry& entry) const;
  // No part lies between the entries without an entry of its own; `to` 0: behind `from`.
  [[nodiscard]] Status prove_gap(std::uint64_t from, std::uint64_t to) const;
  [[nodiscard]] Bytes part(std::uint64_t counter, std::uint64_t number) const;
  // A byte that completes nothing: but for an entry of one byte, what comes before it is left out.
  [[nodiscard]] Status add_question(Replay replay, std::vector<Replay>& questions) const;
  [[nodiscard]] Status undo_entry(const Entry& entry, const Take& take) const;
  // Answered or not, it is to be handed over under `to`. REQUIRES: prove(entry).
  void rename_entry(Entry entry, const TxId& to) const;
  [[nodiscard]] std::uint64_t lower_far_counters() const;

  const Database& db_;
};

}  // namespace csa
