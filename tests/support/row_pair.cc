#include "tests/support/row_pair.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "common/limits.h"
#include "tests/support/compare.h"

namespace csa::test {

DecodedChanges decode(ByteView bytes) {
  ChangeReader reader;
  reader.feed(bytes);
  DecodedChanges decoded;
  for (;;) {
    auto change = reader.next();
    REQUIRE_MESSAGE(change.has_value(), (change ? "" : change.error().what));
    if (!change->has_value()) break;
    decoded.changes.push_back(std::move(**change));
  }
  REQUIRE(reader.at_boundary());
  decoded.tables = reader.tables();
  return decoded;
}

RowPair::RowPair(std::string_view schema)
    : master(":memory:", Database::Mode::kCreate), replica(":memory:", Database::Mode::kCreate) {
  for (const Database* const db : {&master, &replica}) {
    db->exec("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; PRAGMA foreign_keys = OFF");
    db->exec(schema);
  }
  master.exec("PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON");
  capture_.emplace(master, Capture::Options{1U << 30U, limits::kCaptureMemory, directory_.path()});
  applier_.emplace(replica);
}

std::optional<Bytes> RowPair::write(const std::vector<std::string>& statements) {
  last_error_.clear();
  master.exec("BEGIN IMMEDIATE; SAVEPOINT w");
  capture_->begin();
  try {
    for (const std::string& sql : statements) {
      master.exec(sql);
      if (const Status status = capture_->status(); !status) {
        throw SqliteError(SQLITE_ABORT, status.error().what);
      }
    }
    int deferred = 0;
    int unused = 0;
    sqlite3_db_status(master.handle(), SQLITE_DBSTATUS_DEFERRED_FKS, &deferred, &unused, 0);
    if (deferred != 0) throw SqliteError(SQLITE_CONSTRAINT, "deferred foreign key");
  } catch (const SqliteError& error) {
    last_error_ = error.what();
    if (master.in_transaction()) master.exec("ROLLBACK TO w; RELEASE w; ROLLBACK");
    capture_->discard();
    return std::nullopt;
  }
  master.exec("RELEASE w; SAVEPOINT f");
  const Spill& body = capture_->finish();
  const Status status = capture_->status();
  REQUIRE_MESSAGE(status.has_value(), (status ? "" : status.error().what));
  Bytes bytes = body.read(0, static_cast<std::size_t>(body.size()));
  master.exec("RELEASE f; COMMIT");
  return bytes;
}

Bytes RowPair::migrate(std::string_view sql, bool keep_rows_before) {
  master.exec("BEGIN IMMEDIATE; SAVEPOINT w");
  capture_->begin();
  capture_->begin_statement();
  master.exec(sql);
  capture_->schema_statement(sql, keep_rows_before);
  master.exec("RELEASE w; SAVEPOINT f");
  const Spill& body = capture_->finish();
  Bytes bytes = body.read(0, static_cast<std::size_t>(body.size()));
  master.exec("RELEASE f; COMMIT");
  return bytes;
}

Status RowPair::apply(const Database& db, Applier& applier, ByteView bytes, std::size_t piece) {
  db.exec("BEGIN IMMEDIATE");
  ChangeReader reader;
  const auto all = [&]() -> Status {
    while (!bytes.empty()) {
      const std::size_t count = std::min(piece, bytes.size());
      reader.feed(bytes.first(count));
      bytes = bytes.subspan(count);
      for (;;) {
        auto change = reader.next();
        if (!change) return change.error();
        if (!change->has_value()) break;
        CSA_TRY(applier.apply(**change, reader.tables()));
      }
    }
    if (!reader.at_boundary()) return Error{Errc::kMalformed, "cut off"};
    return Ok{};
  };
  const Status status = all();
  if (!status) {
    db.exec("ROLLBACK");
    applier.discard();
    return status;
  }
  applier.finish();
  db.exec("COMMIT");
  return status;
}

Status RowPair::undo(ByteView bytes) {
  const DecodedChanges decoded = decode(bytes);
  replica.exec("BEGIN IMMEDIATE");
  for (auto change = decoded.changes.rbegin(); change != decoded.changes.rend(); ++change) {
    const Status status = applier_->apply(inverse(*change), decoded.tables);
    if (!status) {
      replica.exec("ROLLBACK");
      applier_->discard();
      return status;
    }
  }
  applier_->finish();
  replica.exec("COMMIT");
  return Ok{};
}

Status RowPair::apply_two_phase(const Database& db, Applier& applier, ByteView bytes) {
  const DecodedChanges decoded = decode(bytes);
  db.exec("BEGIN IMMEDIATE");
  const Status status = applier.apply_two_phase(decoded.changes, decoded.tables);
  if (!status) {
    db.exec("ROLLBACK");
    applier.discard();
    return status;
  }
  applier.finish();
  db.exec("COMMIT");
  return status;
}

std::string RowPair::difference() const { return test::difference(master, replica); }

}  // namespace csa::test
