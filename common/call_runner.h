// Runs the statements of one write inside the savepoint that its caller opened. Belongs to the
// thread of its Database; says what became of them and leaves rolling back to the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/capture.h"
#include "common/message.h"
#include "common/sandbox.h"
#include "common/sqlite.h"

namespace csa {

// Why a write is rejected. Not `lasting`: it may be sent again under its TxId, so no outcome is
// stored.
struct Rejection {
  NackCode code = NackCode::kSql;
  std::string message;
  std::uint32_t statement = 0;
  bool lasting = true;
};

// What the statements of a call did, as its Ack says it.
struct CallEffect {
  std::int64_t changes = 0;
  std::optional<std::int64_t> last_insert_rowid;
  std::vector<std::string> columns;  // of the last statement that has some
  std::vector<Row> rows;
};

// Whose database a write meets: the sentences name it.
enum class Place : std::uint8_t { kBroker, kThisComputer };

// What SQLite's result code means for the sender. Throws the error on where the disk or the file
// is to blame: then nobody may go on.
[[nodiscard]] Rejection rejection_of(const SqliteError& error, std::uint32_t statement,
                                     Place place = Place::kBroker);
// The same for an error of the spill's file.
[[nodiscard]] Rejection rejection_of(const std::system_error& error, std::uint32_t statement,
                                     Place place = Place::kBroker);
struct CallLimits {
  std::uint64_t max_changes = 0;
  std::size_t rows_max = 0;
  Place place = Place::kBroker;
};

// Why what was captured cannot be carried; nothing: it can.
[[nodiscard]] std::optional<Rejection> capture_rejection(const Capture& capture,
                                                         const CallLimits& limits,
                                                         std::uint32_t statement);

// The same for a statement that SQLite ended with `error`: what it captured may be why.
[[nodiscard]] Rejection statement_rejection(const SqliteError& error, const Capture& capture,
                                            const CallLimits& limits, std::uint32_t statement);

class CallRunner {
 public:
  // All must outlive this.
  CallRunner(const Database& db, Sandbox& sandbox, const Capture& capture, CallLimits limits)
      : db_(db), sandbox_(sandbox), capture_(capture), limits_(limits) {}

  // REQUIRES: a savepoint is open, capture has begun, the sandbox has the call's deadline.
  [[nodiscard]] std::variant<CallEffect, Rejection> run(const Write& write);

 private:
  using Failure = std::optional<Rejection>;
  [[nodiscard]] Failure run_all(const Write& write);
  [[nodiscard]] Failure run_one(Statement& statement, const Row& parameters);
  [[nodiscard]] Failure bind(Statement& statement, const Row& parameters);
  [[nodiscard]] Failure keep_row(const Statement& statement);
  [[nodiscard]] Rejection reject(NackCode code, std::string message) const {
    return {code, std::move(message), index_, true};
  }

  const Database& db_;
  Sandbox& sandbox_;
  const Capture& capture_;
  CallLimits limits_;
  CallEffect effect_;
  std::uint32_t index_ = 0;
  std::size_t bound_ = 0;
  std::size_t rows_bytes_ = 0;
};

}  // namespace csa
