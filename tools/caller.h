// A tool's connection to a broker: Uplink and Dialer turned by one thread, the tool's own. What the
// tool wants of it is a loop: turn() until done.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/cli.h"
#include "common/dialer.h"
#include "common/log.h"
#include "common/uplink.h"

namespace csa {

class Caller {
 public:
  struct Options {
    Role role = Role::kAdmin;
    std::string program;
    bool subscribe = false;
    bool presence = false;
  };
  // Starts to search. Error: kUsage, an address that is none.
  [[nodiscard]] static Result<std::unique_ptr<Caller>> start(const CommonFlags& flags,
                                                             const Options& options,
                                                             const Log& log);

  struct Turn {
    std::vector<Message> messages;  // for the tool, in order
    std::vector<LinkEvent> events;
  };
  // Waits at most `limit` (and 50 ms) for something to happen. `signals`: a descriptor that ends
  // the wait early, or -1.
  [[nodiscard]] Turn turn(Duration limit, int signals = -1);
  // Turns until the link stands: kNothing after `timeout` without a broker, kRefused in its words.
  [[nodiscard]] Status connect(Duration timeout);
  [[nodiscard]] Uplink& uplink() { return uplink_; }
  // The name of the next write of this run: a person's own id, and a counter above all that the
  // broker may have forgotten. REQUIRES: the link stands, or stood.
  [[nodiscard]] TxId next_tx();
  void leave();

 private:
  Caller(UplinkConfig config, DialerConfig dialer, const Log& log);
  const Log& log_;
  NodeId node_;
  std::uint64_t counter_ = 0;
  Uplink uplink_;
  Dialer dialer_;
};

}  // namespace csa
