// Changes of rows in a range of the log's entries, found by row: an index in a temporary database
// of SQLite's own, read from the log as far as it is asked for. Belongs to the ledger's thread;
// throws SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/column_places.h"
#include "broker/row_history.h"
#include "broker/row_identity.h"
#include "broker/shadow_tables.h"
#include "broker/touch_marks.h"
#include "broker/touch_store.h"
#include "common/changeset.h"
#include "common/past_log.h"
#include "common/sqlite.h"
#include "common/store_meta.h"

namespace csa {

class TouchIndex {
 public:
  // Both outlive this.
  TouchIndex(const Database& db, LogTable& log) : db_(db), log_(log), places_(db), shadows_(db) {}

  // Entries first to last are in it from here on. True: it was begun anew, and what it told before
  // may be wrong.
  bool cover(Seq first, Seq last);
  // The last of them that is not what was written: what it and those before it did is not known.
  [[nodiscard]] std::optional<Seq> damaged() const { return damaged_; }
  // Every edit that is older than the entries is older than this.
  [[nodiscard]] const Edit& floor() const { return floor_; }

  struct Place {
    Id128 row;
    Seq seq;
    std::int64_t n = 0;  // in that entry
  };
  enum class Move : std::uint8_t { kNone, kAway, kHere };
  struct Found {
    Touch touch;
    Move move = Move::kNone;           // the row got another key
    std::optional<RowIdentity> other;  // with move: its other name
  };
  // Begins at what comes after `place`; columns as in schema version `now`. What was done to the
  // whole table is told as done to the row.
  void ask(const Place& place, const std::string& table, std::uint64_t now);
  // REQUIRES: ask(), and none that told the end since.
  [[nodiscard]] std::optional<Found> next();
  void end_asking() { touches_.end_asking(); }

  // How often entry `seq` touched a row.
  [[nodiscard]] std::uint64_t touches_of(Seq seq);
  // After a rollback, or a new Epoch.
  void forget();

 private:
  // How the columns of an entry's rows are counted.
  struct Layouts {
    std::uint64_t before = 0, after = 0;  // schema versions
    std::size_t alters = 0, seen = 0;     // statements that change a table's columns; so far
  };
  void begin_anew(Seq first);
  void read_entry(Seq seq);
  void add(const RowChange& change, const ChangeTable& table, const Layouts& layouts);
  void add_mark(const RowChange& change, std::uint64_t version);
  void store(const Id128& row, TouchOp op, TouchMasks masks, const std::optional<Row>& content,
             std::uint64_t version);
  [[nodiscard]] std::uint64_t version_of(const std::string& table, const Layouts& layouts);
  [[nodiscard]] bool has_rows_by_key(const ChangeTable& table);
  [[nodiscard]] const std::vector<KeyFold>& folds_of(const std::string& table);
  [[nodiscard]] std::optional<RowIdentity> name_of(const Row& content);
  void tell_entry(Touch& touch);
  [[nodiscard]] Bytes placed(const Bytes& then, const ColumnPlaces::Places* places);
  void place_columns(const Bytes& content, std::uint64_t version, Touch& touch);

  const Database& db_;
  LogTable& log_;
  ColumnPlaces places_;
  std::optional<LogProof> proof_;
  std::optional<Seq> damaged_;
  std::optional<Database> index_;
  Statement add_entry_, changed_, edit_;
  TouchStore touches_;
  bool has_tables_ = false;                            // something was done to a whole table
  Seq reading_{0};                                     // entry
  std::int64_t n_ = 0;                                 // of its touches
  std::set<Id128> came_back_;                          // in it
  bool deletes_ = false;                               // it, so far
  std::set<Id128> left_;                               // tables, in it
  ShadowTables shadows_;                               // by the schema as it is
  std::map<std::string, std::vector<KeyFold>> folds_;  // by table
  Seq from_{1}, to_{0};  // entries that are read; none where to < from
  Edit floor_;
  Seq told_{0};  // entry whose edit is at hand
  Edit told_edit_;
  bool told_journaled_ = false;
  std::string asked_;      // table
  std::uint64_t now_ = 0;  // schema version of who asks
};

}  // namespace csa
