// Broker's time, resumed from a file that goes on as the master's.
#pragma once

#include "broker/broker_time.h"
#include "common/sqlite.h"

namespace csa {

// `logged`: the last commit that its log tells; `random`: for the id of a scale that begins now.
// Throws SqliteError.
[[nodiscard]] BrokerTime resume_time(const Database& db, WallTime logged, const LocalTime& now,
                                     const Id128& random);

}  // namespace csa
