// Peers without a WELCOME, as far as they must be remembered: who was refused and is ignored until
// it greets anew, and how often we answered or complained. Bounded: the longest unheard is
// forgotten. Pure, not thread-safe.
#pragma once

#include <map>
#include <string>

#include "broker/peer.h"
#include "broker/timer_set.h"

namespace csa {

class Strangers {
 public:
  // A message that was no HELLO came from it. True: answer REHELLO now.
  [[nodiscard]] bool ask_to_greet(const PeerKey& key, TimePoint now);
  // True: a line about this peer may be logged now. For greeted peers as well.
  [[nodiscard]] bool may_complain(const PeerKey& key, TimePoint now);
  void refuse(const PeerKey& key, TimePoint now);
  // It was welcomed, or said goodbye. When we complained last is kept.
  void forget(const PeerKey& key);
  [[nodiscard]] std::size_t size() const { return all_.size(); }

 private:
  struct Stranger {
    bool refused = false;
    TimePoint answered = TimePoint::min();
    TimePoint complained = TimePoint::min();
  };
  // nullptr: too many are heard at once to remember one more.
  Stranger* note(const PeerKey& key, TimePoint now);

  std::map<PeerKey, Stranger> all_;
  TimerSet<PeerKey> heard_;  // when each was heard last
};

}  // namespace csa
