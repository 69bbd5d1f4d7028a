#include "common/call_runner.h"

#include <cerrno>
#include <system_error>

#include "common/counted.h"

namespace csa {
namespace {

std::string computer(Place place) {
  return place == Place::kBroker ? "the broker's computer" : "this computer";
}

std::string disk_full(Place place) {
  return (place == Place::kBroker ? std::string("the broker's disk")
                                  : std::string("this computer's disk")) +
         " is full, so the write was not made; free space on " + computer(place) +
         ", then send it again";
}

std::string read_only(Place place) {
  return (place == Place::kBroker ? std::string("the broker's database")
                                  : std::string("this computer's replica")) +
         " is read-only now, so the write was not made; make its file and folder writable on " +
         computer(place) + ", then send it again";
}

// What a value takes on the wire, about.
struct ValueSize {
  std::size_t operator()(const Null&) const { return 1; }
  std::size_t operator()(std::int64_t) const { return 9; }
  std::size_t operator()(double) const { return 9; }
  std::size_t operator()(const Text& text) const { return 5 + text.utf8.size(); }
  std::size_t operator()(const Bytes& bytes) const { return 5 + bytes.size(); }
  std::size_t operator()(const Text16& text) const { return 5 + 2 * text.units.size(); }
};

}  // namespace

Rejection rejection_of(const SqliteError& error, std::uint32_t statement, Place place) {
  // Which of our steps met it says nothing to the statement's author.
  constexpr std::string_view kStep = "prepare: ";
  std::string reason = error.what();
  if (reason.starts_with(kStep)) reason.erase(0, kStep.size());
  switch (error.primary_code()) {
    case SQLITE_CONSTRAINT:
      return {NackCode::kConstraint,
              "the write breaks a rule of the schema and was undone: " + reason, statement, true};
    case SQLITE_AUTH:
      return {NackCode::kForbidden, reason, statement, true};
    case SQLITE_INTERRUPT:
      return {NackCode::kTimeout,
              place == Place::kBroker
                  ? "the write took longer than the broker allows one and was undone; make it"
                    " smaller, or raise --statement-timeout of the broker"
                  : "the write took longer than it may and was undone; make it smaller, or allow it"
                    " more time (--timeout, at most 30s)",
              statement, true};
    case SQLITE_FULL:
      return {NackCode::kLimit, disk_full(place), statement, false};
    case SQLITE_READONLY:
      return {NackCode::kLimit, read_only(place), statement, false};
    case SQLITE_NOMEM:
      return {NackCode::kLimit,
              computer(place) + " has not enough memory for the write (" + reason + ")", statement,
              false};
    case SQLITE_TOOBIG:
      return {NackCode::kLimit, "a text, blob or row of the write is too large: " + reason,
              statement, true};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {NackCode::kBusy,
              "another program holds the database on " + computer(place) + " locked (" + reason +
                  "); the write was not made and may be sent again",
              statement, false};
    case SQLITE_CORRUPT:
      // A full-text index that is out of step with its table is the application's; a page is not.
      if (error.code() != SQLITE_CORRUPT_VTAB) throw error;
      break;
    case SQLITE_IOERR:
    case SQLITE_NOTADB:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
      throw error;
    default:
      break;
  }
  return {NackCode::kSql, "the statement cannot be run: " + reason, statement, true};
}

Rejection rejection_of(const std::system_error& error, std::uint32_t statement, Place place) {
  const int code = error.code().value();
  if (code == ENOSPC || code == EDQUOT) {
    return {NackCode::kLimit, disk_full(place), statement, false};
  }
  if (code == EROFS) return {NackCode::kLimit, read_only(place), statement, false};
  throw error;
}

std::optional<Rejection> capture_rejection(const Capture& capture, const CallLimits& limits,
                                           std::uint32_t statement) {
  const Status status = capture.status();
  if (status) return std::nullopt;
  if (capture.size() > limits.max_changes) {
    return Rejection{
        NackCode::kLimit,
        "the write changes more than " + std::to_string(limits.max_changes) +
            " bytes of rows and was undone; split it" +
            (limits.place == Place::kBroker ? ", or raise --max-changes of the broker" : ""),
        statement, true};
  }
  return Rejection{NackCode::kSql, status.error().what, statement, true};
}

Rejection statement_rejection(const SqliteError& error, const Capture& capture,
                              const CallLimits& limits, std::uint32_t statement) {
  if (error.primary_code() == SQLITE_INTERRUPT) {
    if (std::optional<Rejection> why = capture_rejection(capture, limits, statement)) {
      return std::move(*why);
    }
  }
  return rejection_of(error, statement, limits.place);
}

std::variant<CallEffect, Rejection> CallRunner::run(const Write& write) {
  effect_ = CallEffect{};
  index_ = 0;
  bound_ = 0;
  // As on a connection of its own: nothing has been inserted yet.
  sqlite3_set_last_insert_rowid(db_.handle(), 0);
  Failure failure;
  try {
    failure = run_all(write);
  } catch (const SqliteError& error) {
    if (sandbox_.refusal().empty()) {
      failure = statement_rejection(error, capture_, limits_, index_);
    } else {
      failure = reject(NackCode::kForbidden, sandbox_.refusal());
    }
  } catch (const std::system_error& error) {
    failure = rejection_of(error, index_, limits_.place);
  }
  if (failure) return std::move(*failure);
  return std::move(effect_);
}

CallRunner::Failure CallRunner::run_all(const Write& write) {
  std::string_view sql = write.sql;
  while (true) {
    Statement statement = sandbox_.prepare(sql, Sandbox::Mode::kWrite);
    if (!statement) break;
    if (Failure failure = run_one(statement, write.parameters)) return failure;
    if (Failure failure = capture_rejection(capture_, limits_, index_)) return failure;
    if (sandbox_.past_deadline()) {
      return rejection_of(SqliteError(SQLITE_INTERRUPT, "interrupted"), index_, limits_.place);
    }
    ++index_;
  }
  if (index_ == 0) return reject(NackCode::kSql, "the call holds no SQL statement");
  if (bound_ < write.parameters.size()) {
    --index_;
    return reject(NackCode::kSql, "the call has " +
                                      counted(write.parameters.size(), "parameter", "parameters") +
                                      ", but its statements take only " + std::to_string(bound_));
  }
  if (write.expect && *write.expect != effect_.changes) {
    --index_;
    return reject(NackCode::kExpect,
                  "the write would change " + counted(effect_.changes, "row", "rows") + ", but " +
                      counted(*write.expect, "was", "were") + " expected; nothing was changed");
  }
  return std::nullopt;
}

CallRunner::Failure CallRunner::bind(Statement& statement, const Row& parameters) {
  const auto count = static_cast<std::size_t>(sqlite3_bind_parameter_count(statement.handle()));
  if (count > parameters.size() - bound_) {
    return reject(NackCode::kSql,
                  "statement " + std::to_string(index_ + 1) + " of the call takes " +
                      std::to_string(count) + " parameters, but only " +
                      std::to_string(parameters.size() - bound_) + " of the call's " +
                      std::to_string(parameters.size()) + " are left for it");
  }
  for (std::size_t i = 0; i < count; ++i) {
    statement.bind(static_cast<int>(i) + 1, parameters[bound_ + i]);
  }
  bound_ += count;
  return std::nullopt;
}

CallRunner::Failure CallRunner::run_one(Statement& statement, const Row& parameters) {
  const Sandbox::Seen seen = sandbox_.seen();
  if (Failure failure = bind(statement, parameters)) return failure;
  const int columns = statement.column_count();
  if (columns > 0) {
    effect_.columns.clear();
    effect_.rows.clear();
    rows_bytes_ = 0;
    for (int i = 0; i < columns; ++i) {
      const char* const name = sqlite3_column_name(statement.handle(), i);
      effect_.columns.emplace_back(name == nullptr ? "" : name);
      rows_bytes_ += 5 + effect_.columns.back().size();
    }
  }
  int code = SQLITE_OK;
  while ((code = statement.try_step()) == SQLITE_ROW) {
    if (Failure failure = keep_row(statement)) return failure;
  }
  if (code != SQLITE_DONE) throw SqliteError(code, sqlite3_errmsg(db_.handle()));
  if (seen.rows) effect_.changes += sqlite3_changes64(db_.handle());
  const std::int64_t rowid = sqlite3_last_insert_rowid(db_.handle());
  if (seen.insert && rowid != 0) effect_.last_insert_rowid = rowid;
  return std::nullopt;
}

CallRunner::Failure CallRunner::keep_row(const Statement& statement) {
  Row row;
  rows_bytes_ += 5;
  for (int i = 0; i < statement.column_count(); ++i) {
    row.push_back(statement.column_value(i));
    rows_bytes_ += std::visit(ValueSize{}, row.back());
  }
  if (rows_bytes_ > limits_.rows_max) {
    return reject(NackCode::kLimit, "the rows that the write returns are larger than " +
                                        std::to_string(limits_.rows_max) +
                                        " bytes; the write was undone. Return fewer, and read the"
                                        " rest with a query on the replica");
  }
  effect_.rows.push_back(std::move(row));
  return std::nullopt;
}

}  // namespace csa
