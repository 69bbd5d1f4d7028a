// Which part of the log those need who are catching up: each join that makes progress holds the log
// from its own place on for a while. Pure, not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "common/types.h"

namespace csa {

// How far a join is, in the order in which it gets there: through the bytes of a full copy cut at
// `seq`, then through the entries behind it, the first of them from byte `offset` on.
struct LeasePlace {
  Seq seq;  // the entry with this number is needed too: it proves the chain
  enum class Stage : std::uint8_t { kCopy, kCopied, kLog } stage = Stage::kLog;
  std::uint64_t offset = 0;
  auto operator<=>(const LeasePlace&) const = default;
};

class Leases {
 public:
  // `holders_max`: joins remembered at once; more of them hold nothing.
  explicit Leases(std::size_t holders_max) : holders_max_(holders_max) {}

  // `holder` asks for what lies at `place` now. Further than it was, or a new join: its lease lasts
  // until `until`. The same place or one before it in the same entry: asked again, which is no
  // progress, and its lease ends when it would have ended. REQUIRES: time does not go back.
  void hold(const std::string& holder, const LeasePlace& place, TimePoint now, TimePoint until);
  // It has caught up to `seq`, by what it was told beside the log.
  void advance(const std::string& holder, Seq seq);
  // It has caught up, or left.
  void release(const std::string& holder) { holders_.erase(holder); }
  void clear() { holders_.clear(); }

  // The first entry that somebody holds; nothing: the log is not needed. Forgets who stood still
  // for so long that a new request is a new join.
  [[nodiscard]] std::optional<Seq> lowest(TimePoint now);
  [[nodiscard]] std::size_t size() const { return holders_.size(); }

 private:
  struct Lease {
    LeasePlace place;
    TimePoint until;
  };
  const std::size_t holders_max_;
  std::map<std::string, Lease> holders_;
};

}  // namespace csa
