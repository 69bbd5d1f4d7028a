// What the Session asks of the Replica, carried out: the store thread's work, and the simulator's.
#pragma once

#include <exception>
#include <functional>
#include <string>

#include "node/replica.h"
#include "node/session.h"

namespace csa {

// To be told to the Session, on its thread; empty: the job has no answer.
using StoreAnswer = std::function<void(Session& session, TimePoint now)>;

// The Session goes on without an answer: what fails is for the log alone, and in time it comes
// again.
[[nodiscard]] bool has_no_answer(const StoreJob& job);

// Throws what the disk throws (see Replica); store_failure_of() is then for on_store_failed().
[[nodiscard]] StoreAnswer run_store_job(StoreJob job, Replica& replica);

struct StoreFailure {
  Error error;
  bool disk_full = false;
};
[[nodiscard]] StoreFailure store_failure_of(const std::exception& error, const std::string& path);

}  // namespace csa
