// Entries of earlier epochs that csa_log holds below the floor. Nobody is sent them; they are there
// for merges, so that a master which was restored judges edits as the one that it follows would
// have. Throws SqliteError.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "common/sqlite.h"
#include "common/store_meta.h"

namespace csa {

class PastLog {
 public:
  explicit PastLog(const Database& db);  // must outlive this
  // The oldest entry from which on the log tells every change up to the present state, whatever the
  // epoch; meta.floor where it tells of the present one alone. What is below may be deleted. A
  // floor that rises ends it: then the present epoch's log is long by itself.
  [[nodiscard]] Seq floor(const Meta& meta);
  // `meta` with that floor.
  [[nodiscard]] Meta told(const Meta& meta);
  // An epoch begins with `floor`, and the log tells how it came about from `from` on. Nothing is
  // deleted. REQUIRES: from <= floor.
  void keep(Seq from, Seq floor);
  // An epoch begins, and what led to it is not all in the log.
  void forget();

 private:
  const Database& db_;
  Statement kept_, oldest_;
};

// An entry; nothing: it is not there, or cannot be read.
[[nodiscard]] std::optional<LogTable::Entry> readable_entry(LogTable& log, Seq seq);

// The entry is there, whole, and leads from the chain `before` to its own.
[[nodiscard]] bool continues(LogTable& log, const Chain& before, Seq seq);

// The chain that entry 1 follows: zero, where it is of the first history. Nothing: another history
// has begun before it, with a chain that nothing tells.
[[nodiscard]] std::optional<Chain> chain_of_beginning(const std::vector<EpochRecord>& epochs);

// Whether entries of the log are what was written: each carries the chain that leads to it.
class LogProof {
 public:
  LogProof(const Database& db, LogTable& log);  // both outlive this; valid for one epoch
  // The entry is missing or cannot be read, or its header, changes and chain do not belong
  // together. The first one of the log or of a later epoch follows what nothing tells: of that
  // only that it is whole.
  [[nodiscard]] bool doubts(Seq seq);

 private:
  LogTable& log_;
  std::optional<Chain> beginning_;
  std::set<std::uint64_t> ends_;  // of earlier epochs: no entry continues from there
};

// What a broker says of such an entry.
[[nodiscard]] std::string doubted_entry(const Database& db, Seq seq);

// From PastLog::floor() on, the oldest entry from which the log leads without a gap, chain by
// chain, to meta.position; position.seq.next(): none does.
[[nodiscard]] Seq proven_floor(const Database& db, const Meta& meta);

}  // namespace csa
