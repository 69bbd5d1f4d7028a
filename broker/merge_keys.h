// Keys that SQLite gave to rows at a node while the master gave them to others: which get another
// one, and where a journal's values follow. Belongs to the ledger's thread; throws SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/merge_table.h"
#include "common/message.h"
#include "common/sqlite.h"

namespace csa {

class KeyChanges {
 public:
  explicit KeyChanges(const Database& db);  // must outlive this

  // For the entries of one journal from here on; what other journals of this node have left behind
  // is forgotten.
  void begin(const TxId& tx, std::uint64_t journal);
  // An insert of the entry whose rowid SQLite chose: gives it another one where the master has
  // given `rowid` away. In the order of the entry, before any of its rows is written.
  void assign(MergeTable& table, std::int64_t rowid);
  // What assign() of this entry has given instead of `rowid`.
  [[nodiscard]] std::optional<std::int64_t> given(const std::string& table, std::int64_t rowid);
  // `rowid` of `table` is `fresh` at the master.
  void give(const std::string& table, std::int64_t rowid, std::int64_t fresh);
  // Where `rowid` of `table` (by the node) is now.
  [[nodiscard]] std::int64_t follow(const std::string& table, std::int64_t rowid);
  // The row by the node, with its own key and its references as they are at the master.
  void follow(const MergeTable& table, Row& row);

  // What the entry has changed.
  [[nodiscard]] std::vector<KeyChange> take_changes() { return std::exchange(changes_, {}); }

 private:
  [[nodiscard]] bool parent_is_keyed(const std::string& parent, const std::string& column);

  const Database& db_;
  Statement find_, given_, insert_, forget_;
  TxId tx_;
  std::uint64_t journal_ = 0;
  bool any_ = false;                                           // of this journal
  std::map<std::string, std::int64_t> next_;                   // above what is given, by table
  std::map<std::pair<std::string, std::string>, bool> keyed_;  // parent, column
  std::vector<KeyChange> changes_;
};

}  // namespace csa
