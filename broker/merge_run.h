// One entry of a journal on its way into the master. Part of merge.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/journal_names.h"
#include "broker/master_history.h"
#include "broker/merge.h"
#include "broker/merge_inbox.h"
#include "broker/merge_index.h"
#include "broker/merge_key_runs.h"
#include "broker/merge_keys.h"
#include "broker/merge_proof.h"
#include "broker/merge_renamed.h"
#include "broker/merge_table.h"
#include "broker/merge_virtual.h"
#include "broker/overwritten.h"

namespace csa {

// The rules of the master and its tables, kept between entries.
class MergeSchema {
 public:
  explicit MergeSchema(const Database& db);  // must outlive this
  // nullptr: no such table that an application may change.
  [[nodiscard]] MergeTable* table(const std::string& name);
  struct Rules {
    RowRules row;
    bool atomic = false;
  };
  [[nodiscard]] const Rules& rules(const MergeTable& table);
  void forget_rules() { rules_.clear(); }
  [[nodiscard]] const MergeVirtual& virtuals() const { return virtuals_; }
  [[nodiscard]] ContentIndexes& indexes() { return indexes_; }
  [[nodiscard]] RenamedRows& renamed() { return renamed_; }
  [[nodiscard]] MasterHistory& history() { return history_; }
  [[nodiscard]] ColumnPlaces& places() { return places_; }
  [[nodiscard]] ForeignKeyProof& proof() { return proof_; }

 private:
  const Database& db_;
  std::map<std::string, std::unique_ptr<MergeTable>> tables_;
  std::map<std::string, Rules> rules_;
  MergeVirtual virtuals_;
  ContentIndexes indexes_;
  RenamedRows renamed_;
  MasterHistory history_;
  ColumnPlaces places_;
  ForeignKeyProof proof_;
};

class MergeRun {
 public:
  // Why the entry cannot be applied: it is parked whole.
  struct Parked {
    std::string reason;
    // A row that the entry replaces and another may have exchanged values that must be unique: as
    // deletions and insertions they may stand.
    bool exchanged = false;
  };
  // Rows of it would lose, and a table of it wants all or nothing.
  struct LostWhole {
    std::string reason;
  };

  // All outlive this.
  MergeRun(const Database& db, Capture& capture, EditIndex& edits, MergeSchema& schema,
           KeyChanges& keys, Inbox& inbox, const ReplayEntry& entry, const MergeContext& context);
  MergeRun(const MergeRun&) = delete;
  MergeRun& operator=(const MergeRun&) = delete;

  // Rows that the entry deletes and inserts again are not taken for the same ones. Before apply().
  void take_literally() { literal_ = true; }
  // Throws Parked, LostWhole, SqliteError.
  [[nodiscard]] MergeOutcome apply();
  // Every row of the entry into the inbox, in an attempt of its own.
  void keep_aside(const std::string& rule, const std::string& decision, const std::string& reason);

 private:
  struct TreeRows {
    std::vector<ChangeTable> table;  // one
    std::vector<RowChange> rows;
  };
  struct Step;  // a row change in the master's terms
  using Visit = std::function<void(const Change& change, const std::vector<ChangeTable>& tables)>;
  // Every change of the entry; those of shadow tables as the rows of virtual tables that they mean,
  // R*Trees' at the end, and none of what follows from others.
  void each(const Visit& visit);
  // A row that the entry deletes and inserts again with the key that it had is updated.
  void each_stored(const Visit& visit);
  void each_written(const Visit& visit);
  void find_replaced();
  // Under the key of a row that the entry has deleted SQLite numbered this one.
  [[nodiscard]] bool is_reborn(const RowChange& change, const ChangeTable& table) const;
  [[nodiscard]] MergeVirtual::Part part_of(const ChangeTable& table);
  void tell_trees();
  void look_ahead();
  void note_indexes();
  void assign_keys();
  [[nodiscard]] bool numbers_rows(const MergeTable& table, const ChangeTable& journal) const;
  // A row of an ordinary table and its document or spatial row often go by one number: SQLite gives
  // it to the one, the application to the other. Then the other follows where the number changes.
  struct Numbering {
    std::map<std::string, KeyRuns> given, virtual_given;  // by SQLite, by table
    std::set<std::string> virtual_chosen;                 // tables
    // Ordinary tables to whose rows the application gave numbers: each such was given to a document
    // before.
    std::map<std::string, bool> paired;
    bool any = false;  // a row comes, goes or gets another number
  };
  void note_number(const MergeTable& table, const RowChange& row, Numbering& numbering);
  void keep_in_step(const Numbering& numbering);
  void follow_numbered(const Numbering& numbering);
  [[nodiscard]] std::set<std::int64_t> numbers_since(MergeTable& virtual_table, std::int64_t rowid,
                                                     const std::vector<std::string>& tables);
  // The table and its columns in the master's terms, no row yet.
  [[nodiscard]] Step blank_step(const ChangeTable& table);
  [[nodiscard]] Step step_of(const RowChange& change, const ChangeTable& table);
  [[nodiscard]] Row mapped(const Row& row, const Step& step, const Row& rest) const;
  // The row's name, with its rowid as it is at the master.
  [[nodiscard]] RowIdentity identity_of(const MergeTable& table, const Row& row, Row physical);
  static void fill_unknown(Step& step);
  static void fill_unknown(Step& step, const PastRow& gone);
  void note_renamed(const Step& step, const RowVerdict& verdict);
  void merge(const RowChange& change, const ChangeTable& table);
  [[nodiscard]] bool is_told(const Step& step) const;
  [[nodiscard]] RowRules rules_of(const Step& step);
  [[nodiscard]] RowMeeting meeting_of(Step& step, EditIndex::RowEdits& edits);
  [[nodiscard]] bool others_may_have_edited(const Step& step);
  [[nodiscard]] bool is_anothers(const Step& step);
  [[nodiscard]] bool is_placed(const Step& step, const PastRow& gone) const;
  [[nodiscard]] bool is_new(const Step& step);
  // The row that a reference of `row` names by its rowid.
  struct Parent {
    MergeTable* table = nullptr;
    std::int64_t rowid = 0;
  };
  [[nodiscard]] std::optional<Parent> parent_of(const Row& row, const MergeReference& reference);
  [[nodiscard]] EditIndex::RowEdits edits_of(const Parent& parent) const;
  [[nodiscard]] bool has_made(const Parent& parent) const;
  void prove_parents(const Step& step, const RowVerdict& verdict);
  void judge(const Step& step, const RowVerdict& verdict, const EditIndex::RowEdits& edits);
  void write(const Step& step, const RowVerdict& verdict);
  void touch(const Step& step, const RowMeeting& meeting, const RowVerdict& verdict);
  [[nodiscard]] RowIdentity logged_as(const Step& step) const;
  void write_row(const Step& step, const RowVerdict& verdict);
  void win_whole();
  void lose_key(const RowChange& change, const ChangeTable& table);
  [[nodiscard]] ConflictRow conflict_of(const Step& step) const;
  [[nodiscard]] ConflictRow kept_row(const RowChange& change, const ChangeTable& table);
  [[nodiscard]] ConflictRow by_own_names(const RowChange& change, const ChangeTable& table);
  [[nodiscard]] Step numbered_step(const RowChange& change, const ChangeTable& table);
  void each_kept(const Visit& visit);
  void join_bundle();
  [[nodiscard]] MergeOutcome outcome();

  const Database& db_;
  Capture& capture_;
  EditIndex& edits_;
  MergeSchema& schema_;
  KeyChanges& keys_;
  Inbox& inbox_;
  const ReplayEntry& entry_;
  const Meta told_;  // the master before this entry, with all that its log tells
  const MergeContext context_;
  const NodeId author_;  // edits of others are those that the journal's replica did not know
  const MasterHistory::Base found_;  // of the entry
  ConflictOrigin origin_;
  const bool knows_base_;  // it is of this history
  const Seq base_;         // of the master, that the node's row versions come from
  ForeignKeyProof& proof_;
  JournalNames names_;
  std::map<std::string, MergeVirtual::Part> parts_;  // by the journal's table
  std::map<std::string, TreeRows> trees_;            // by name of the tree
  bool trees_told_ = false;
  bool literal_ = false;
  bool replaced_told_ = false;
  std::set<std::uint64_t> replaced_;  // deletions that are part of updates, by number of row change
  std::set<Id128> reborn_;            // rows that are deleted, their keys given to others
  // Rows that go by another's number, by table: where that waits in the inbox, so do they.
  std::map<std::string, KeyRuns> led_;
  std::map<std::string, KeyRuns> made_;  // rowids of rows that are new with this entry, by table
  bool atomic_ = false;                  // a table of the entry wants all or nothing
  Overwritten overwritten_;              // where it is
  bool may_be_held_ = true;              // rows of it, by earlier entries that the inbox has
  bool written_ = false;
  bool merged_ = false;
  bool lost_ = false;   // rows of the node
  bool won_ = false;    // over rows of the master
  std::string reason_;  // of the first loss
  std::int64_t count_ = 0;
};

}  // namespace csa
