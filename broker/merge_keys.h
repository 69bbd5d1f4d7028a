// Keys that SQLite gave to rows at a node while the master gave them to others: which get another
// one, and where a journal's values follow. Belongs to the ledger's thread; throws SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/merge_key_runs.h"
#include "broker/merge_table.h"
#include "common/message.h"
#include "common/sqlite.h"

namespace csa {

// Journals of copies of a node's replica have numbers from here on, the node's own ones below.
inline constexpr std::uint64_t kCopyJournals = std::uint64_t{1} << 62U;

class KeyChanges {
 public:
  explicit KeyChanges(const Database& db);  // must outlive this

  // For the entries of one journal from here on; what other journals of this node have left behind
  // is forgotten: by a copy's that of copies, by its own that of its own, as the two may come in
  // turns.
  void begin(const TxId& tx, std::uint64_t journal);
  // Before anything of the entry is written it is read twice, in its order. The first time every
  // rowid that its rows get is noted, so that fresh ones lie above them all.
  void note(const MergeTable& table, std::int64_t rowid);
  // The second time: a row leaves its rowid;
  void leave(const MergeTable& table, std::int64_t rowid);
  // the application chooses one: it stays what it is;
  void choose(const MergeTable& table, std::int64_t rowid);
  // SQLite chose one: it becomes another where the master has given `rowid` away. False: the table
  // has no higher one.
  [[nodiscard]] bool assign(MergeTable& table, std::int64_t rowid);
  // As assign(), when the row is written and its rowid turns out to be another row's.
  [[nodiscard]] bool reassign(MergeTable& table, std::int64_t rowid);
  // What assign() of this entry has given instead of `rowid`.
  [[nodiscard]] std::optional<std::int64_t> given(const std::string& table, std::int64_t rowid);
  // Of rows of these this journal's numbers are not the master's; in lower case.
  [[nodiscard]] std::vector<std::string> tables();
  // `rowid` of `table` is `fresh` at the master.
  void give(const std::string& table, std::int64_t rowid, std::int64_t fresh);
  // As give(), for what is no key: a row whose rowid nobody sees.
  void record(const std::string& table, std::int64_t rowid, std::int64_t at_master);
  // The row that SQLite gave `rowid` to is not in the master: whatever names it must wait with it.
  // In the inbox it is called by what assign() has given, which this journal gives to no other.
  void lose(const std::string& table, std::int64_t rowid);
  // The row that the journal has lost as `kept` is in the master now: later entries follow to
  // `now`.
  void bring_back(const TxId& tx, std::uint64_t journal, const std::string& table,
                  std::int64_t kept, std::int64_t now);
  // Of the journal that began, as an earlier entry of it, `counter`, has written it; nothing: as it
  // is. What that entry or a later one has left here stands.
  struct Recalled {
    std::optional<std::int64_t> after, counter;
    std::optional<bool> lost;
  };
  void recall(const std::string& table, std::int64_t rowid, const Recalled& as);
  void forget(const std::string& table, std::int64_t rowid);
  // What an entry before `counter` has written.
  void forget_before(const std::string& table, std::int64_t rowid, std::int64_t counter);
  // Where `rowid` of `table` (by the node) is now.
  [[nodiscard]] std::int64_t follow(const std::string& table, std::int64_t rowid);
  // The row by the node, with its own key and its references as they are at the master: also
  // references to columns that refer to such a key themselves, and keys held as text or real.
  void follow(const MergeTable& table, Row& row);
  // Rows that were followed since the last call and are not in the master (lose()).
  struct Lost {
    std::string table;
    std::int64_t rowid = 0;  // as the inbox calls it
  };
  [[nodiscard]] const std::vector<Lost>& lost() const { return lost_; }
  [[nodiscard]] std::vector<Lost> take_lost() { return std::exchange(lost_, {}); }

  // The schema may have changed.
  void forget_schema();

  // What the entry has changed.
  [[nodiscard]] std::vector<KeyChange> take_changes() { return std::exchange(changes_, {}); }

 private:
  // Of one table, in this entry.
  struct Ahead {
    std::int64_t highest = 0;          // that the entry's rows get
    std::optional<std::int64_t> free;  // from here on the master has given none
    std::int64_t next = 0;             // fresh one
    bool settled = false;              // free and next are known
    KeyRuns gone;                      // left by rows of the entry
  };
  using Column = std::pair<std::string, std::string>;   // table, column; in lower case
  using Roots = std::vector<std::vector<std::string>>;  // by column: tables whose keys it holds
  [[nodiscard]] Ahead& ahead_of(MergeTable& table);
  [[nodiscard]] bool fresh_one(MergeTable& table, std::int64_t rowid);
  void store(const std::string& table, std::int64_t rowid, std::int64_t at_master, bool lost);
  [[nodiscard]] std::int64_t highest_lost(const std::string& table);
  [[nodiscard]] const Roots& roots_of(const MergeTable& table);
  void add_roots(const MergeTable& table, const std::string& column,
                 std::vector<std::string>& found, std::set<Column>& seen);
  [[nodiscard]] const MergeTable* parent(const std::string& name);

  const Database& db_;
  Statement find_, given_, insert_, forget_, any_of_, remove_, highest_lost_, next_table_;
  TxId tx_;
  std::uint64_t journal_ = 0;
  bool any_ = false;  // of this journal
  std::map<std::string, Ahead> ahead_;
  std::map<std::string, Roots> roots_;
  std::map<std::string, std::unique_ptr<MergeTable>> parents_;
  std::vector<KeyChange> changes_;
  std::vector<Lost> lost_;
};

}  // namespace csa
