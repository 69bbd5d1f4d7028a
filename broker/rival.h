// Another broker of this broker's group: what it is to this one, and when it is asked. A beacon is
// a hint, and what a peer says of a third one is too; only the rival's own WELCOME is believed.
// Pure, not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "common/discovery.h"
#include "common/message.h"
#include "common/result.h"

namespace csa {

// This broker's place in the histories of its database.
struct OwnHistory {
  DbId db;
  std::uint64_t generation = 0;
};

enum class RivalKind : std::uint8_t {
  kOther,  // of another database, or as far as this one: two masters of one group
  kOlder,  // this database's past: it ends when it meets this one
  kNewer,  // the database was restored there meanwhile: this one is its past
};
[[nodiscard]] RivalKind rival_kind(const OwnHistory& own, const Welcome& rival);

// The last words of a broker that has met a newer one. REQUIRES: kNewer.
[[nodiscard]] Error outdated_error(const std::string& database, const OwnHistory& own,
                                   const Welcome& rival, const Endpoint& at);
// Of one that must not start beside the broker on `hostname`.
[[nodiscard]] Error rival_error(const std::string& group, const std::string& hostname,
                                const Endpoint& at);

// Where rivals may be: each place is greeted once in a while, however often it announces itself,
// and a flood of beacons fills nothing.
class RivalPlaces {
 public:
  void add(const Endpoint& at, TimePoint now);
  // The next one to greet; it counts as greeted.
  [[nodiscard]] std::optional<Endpoint> take(TimePoint now);
  [[nodiscard]] bool empty() const { return waiting_.empty(); }

 private:
  std::deque<Endpoint> waiting_;
  std::map<Endpoint, TimePoint> greeted_;  // when last, as long as that keeps it from being added
};

}  // namespace csa
