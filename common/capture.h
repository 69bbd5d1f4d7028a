// Row changes of one connection, as they happen: SQLite's pre-update hook encodes each change into
// a changeset. Where the hook does not show a row as the table holds it, the code beside says so.
//
//   SAVEPOINT w; capture.begin(); ... statements ...; RELEASE w;
//   SAVEPOINT f; Spill& body = capture.finish(); RELEASE f;
//
// After an error of a statement: ROLLBACK TO w; RELEASE w; capture.discard(). Belongs to the thread
// of its Database and must be gone before it. Only one Capture a connection.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/result.h"
#include "common/spill.h"
#include "common/sqlite.h"

namespace csa {

class AssignedKeys;

class Capture {
 public:
  struct Options {
    std::uint64_t max_bytes = 0;  // a larger changeset fails the write
    std::size_t memory_max = 0;   // beyond it the changeset goes to a file
    std::string spill_directory;
    // A journal's changeset: full rows, names of columns, and the mark where SQLite chose the key,
    // as this tells it (must outlive the Capture). nullptr: the log's.
    AssignedKeys* journal = nullptr;
  };

  // REQUIRES: `db` outlives this and has no other pre-update hook.
  Capture(const Database& db, Options options);
  ~Capture();
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  // Starts an empty changeset. REQUIRES: a transaction is open.
  void begin();
  // Whether it was SQLite, at a node, that chose the rowids of rows which are inserted from here
  // on: then the log's changeset has the mark too. Until begin() no more.
  void mark_assigned(bool assigned);
  // Why the changes so far cannot be carried (too large, incremental blob write, ...): the write
  // must be rolled back. Ask after each statement, and after finish(), for full-text tables change
  // late. Throws std::system_error: the spill's file.
  [[nodiscard]] Status status() const;
  // The write must be rolled back whatever follows, so nothing more of it needs to run. For a
  // progress handler: quick, never throws.
  [[nodiscard]] bool lost() const noexcept;
  // True while capture runs statements of its own, also inside the hook: an authorizer that judges
  // a user's SQL must then allow everything (capture reads the schema by PRAGMAs).
  [[nodiscard]] bool at_work() const;
  // Bytes captured so far.
  [[nodiscard]] std::uint64_t size() const;
  // Ends the changeset: late changes of odd tables and of sqlite_sequence are added. The result is
  // empty when nothing changed; it is valid until the next begin(). Changes reported after this and
  // before begin() trip CSA_CHECK.
  [[nodiscard]] const Spill& finish();
  // Ends without a changeset, after a rollback. Caches of sqlite_sequence are read anew.
  void discard();

  // A schema statement ran at this place of the changeset. `keep_rows_before`: row changes that the
  // statement itself reported stay, before it (DROP TABLE's foreign key actions); otherwise they
  // are cut, because the statement makes them again (CREATE VIRTUAL TABLE). Call begin_statement()
  // before running it.
  void begin_statement();
  void schema_statement(std::string_view sql, bool keep_rows_before);
  // An insert record for every row of `table`: after CREATE TABLE ... AS SELECT, whose rows the
  // hook does not report and whose schema statement is the plain CREATE TABLE of sqlite_schema.
  void capture_whole_table(std::string_view table);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
