// One attempt to commit a group: what it would make of the ledger's state. Part of ledger.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "broker/jobs.h"
#include "common/store_meta.h"

namespace csa {

using Answer = WriteAnswer;

struct GroupState {
  Meta meta;                       // after the jobs so far
  WallTime time;                   // of the commit
  std::int64_t wall_ahead_ms = 0;  // of it, for people
  std::vector<LogPiece> pieces;    // what they add to the log, large bodies as stubs
  std::size_t inline_bytes = 0;
  std::size_t parts = 0;  // rows added to the log
  bool new_epoch = false;
  std::vector<TxId> named;  // see CommitResult
};

// Jobs [begin, end) of the call, and their answers; `forced` are those of jobs that destroyed an
// earlier attempt and are not run again.
struct Batch {
  std::span<const WriteJob> jobs;
  std::vector<std::optional<Answer>> answers;
  std::vector<std::optional<Answer>> forced;
  std::vector<bool> lasting;  // whether a forced answer is the outcome
};

}  // namespace csa
