// The master's history through all its epochs, for whoever knew an earlier state of it. Belongs to
// the ledger's thread; throws SqliteError.
#pragma once

#include <optional>
#include <vector>

#include "broker/merge_row.h"
#include "broker/row_history.h"
#include "common/past_log.h"
#include "common/sqlite.h"
#include "common/store_meta.h"

namespace csa {

class MasterHistory {
 public:
  explicit MasterHistory(const Database& db);  // must outlive this
  // `now` with the floor of all that the log tells, earlier epochs included.
  [[nodiscard]] Meta told(const Meta& now) { return past_.told(now); }
  struct Base {
    // Entries after it are those that who stood at `base` did not know.
    Seq seq;
    // False: nobody knows which those are: `base` is of no history that the master went through,
    // or, as far as the log can tell, of another one under its number. `seq` is where the present
    // epoch began.
    bool known = true;
    // False: rows differ also by what no entry tells: of a history that went on elsewhere after the
    // master had left it at `seq`, or of another program that wrote to the master.
    bool whole = true;
    // What no entry tells was made at that time at most; nothing: before `seq`.
    std::optional<Edit> doubt = std::nullopt;
    // What the log tells since `seq` of a row, as it is for who stood at `base`.
    void qualify(RowEdits& edits) const;
  };
  [[nodiscard]] Base find(const Position& base, const Meta& now);

 private:
  [[nodiscard]] bool is_mine(const Position& base, const Position& end, bool begins);

  const Database& db_;
  PastLog past_;
  LogTable log_;
  Statement chain_;
  std::vector<EpochRecord> epochs_;  // of `read_at_`
  Epoch read_at_;
};

// Not earlier than any edit that was made before entry `first` was committed.
[[nodiscard]] Edit latest_before(const Database& db, LogTable& log, Seq first);

}  // namespace csa
