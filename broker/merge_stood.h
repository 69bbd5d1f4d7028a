// A WRITE that was in flight when its link was lost was journaled too, and the master held it: the
// numbers that SQLite gave its rows there stand, so what later entries of the journal call by the
// node's numbers must follow to them. Belongs to the ledger's thread; throws SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "broker/merge.h"
#include "broker/merge_keys.h"
#include "broker/merge_run.h"
#include "common/store_meta.h"

namespace csa {

class StoodKeys {
 public:
  // Both outlive this.
  StoodKeys(MergeSchema& schema, KeyChanges& keys) : schema_(schema), keys_(keys) {}

  // Pairs the rows that the entry inserted at the node with those of the log's entry `seq`, table
  // by table in their order. Where they are not equally many, or the log does not reach back,
  // nobody can tell: what names such a row later waits in the inbox. Nothing where the log's entry
  // was merged from this journal. REQUIRES: keys.begin() of the entry.
  void pair(const ReplayEntry& entry, LogTable& log, Seq seq);
  // The entry came before, from another copy of the replica, and `outcome` is what became of it:
  // what is kept of its keys under this TxId stays, the rest is read from the log or taken from
  // what that one was told; where neither tells, what names such a row later waits in the inbox.
  // REQUIRES: as pair().
  void take_over(const ReplayEntry& entry, LogTable& log, const Replayed& outcome);
  // What the merge of an earlier entry of the journal wrote into csa_remap holds for the one that
  // began: for the node it is journal `first`. Tables are called as the master calls them at schema
  // version `now`. REQUIRES: as pair(), of a later entry.
  void recall(LogTable& log, Seq seq, std::uint64_t first, std::uint64_t journal,
              std::uint64_t now);

 private:
  // Rowids in the order of their inserts.
  struct Numbers {
    std::int64_t count = 0;
    KeyRuns rowids;
  };
  using ByTable = std::map<std::string, Numbers>;
  void pair_rows(const ReplayEntry& entry, LogTable& log, Seq seq);
  [[nodiscard]] bool take_logged(LogTable& log, Seq seq);
  [[nodiscard]] const MergeTable* numbered(const RowChange& change, const ChangeTable& table);
  void give(const RowChange& change, const ChangeTable& table, const Numbers* there,
            std::int64_t place);

  MergeSchema& schema_;
  KeyChanges& keys_;
};

}  // namespace csa
