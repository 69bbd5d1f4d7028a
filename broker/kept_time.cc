#include "broker/kept_time.h"

#include <cstring>
#include <optional>
#include <string>

#include "common/store_meta.h"

namespace csa {

BrokerTime resume_time(const Database& db, WallTime logged, const LocalTime& now,
                       const Id128& random) {
  const std::optional<std::string> kept = read_private(db, kClockKey);
  std::uint64_t id = 0;
  std::memcpy(&id, random.bytes.data(), sizeof id);
  return {kept ? parse_clock_anchor(*kept) : std::nullopt, logged, now, id};
}

}  // namespace csa
