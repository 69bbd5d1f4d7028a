// What the Session asks of the Replica, carried out: the store thread's work, and the simulator's.
#pragma once

#include <functional>

#include "node/replica.h"
#include "node/session.h"

namespace csa {

// To be told to the Session, on its thread; empty: the job has no answer.
using StoreAnswer = std::function<void(Session& session, TimePoint now)>;

// Throws what the disk throws (see Replica); then Session::on_store_failed is the answer.
[[nodiscard]] StoreAnswer run_store_job(StoreJob job, Replica& replica);

}  // namespace csa
