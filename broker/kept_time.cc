#include "broker/kept_time.h"

#include <cstring>
#include <optional>
#include <string>

#include "common/past_log.h"
#include "common/store_meta.h"

namespace csa {
namespace {

// The begin of all time where its entry is not what was written: one bit may be centuries.
WallTime last_commit(const Database& db, const Meta& meta) {
  LogTable log(db);
  const Seq last = meta.position.seq;
  if (LogProof(db, log).doubts(last)) return {};
  const std::optional<LogTable::Entry> entry = log.entry(last);
  return entry ? entry->header.time : WallTime{};
}

}  // namespace

BrokerTime resume_time(const Database& db, const Meta& meta, const LocalTime& now,
                       const Id128& random) {
  const std::optional<std::string> kept = read_private(db, kClockKey);
  std::uint64_t id = 0;
  std::memcpy(&id, random.bytes.data(), sizeof id);
  return {kept ? parse_clock_anchor(*kept) : std::nullopt, last_commit(db, meta), now, id};
}

}  // namespace csa
