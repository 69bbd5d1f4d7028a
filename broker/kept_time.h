// Broker's time, resumed from a file that goes on as the master's.
#pragma once

#include "broker/broker_time.h"
#include "common/sqlite.h"
#include "common/store_meta.h"

namespace csa {

// Not before the last commit that its log tells; `random`: for the id of a scale that begins now.
// Throws SqliteError.
[[nodiscard]] BrokerTime resume_time(const Database& db, const Meta& meta, const LocalTime& now,
                                     const Id128& random);

}  // namespace csa
