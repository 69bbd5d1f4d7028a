// Greets brokers that may be rivals, one at a time, and tells what each answers. Belongs to one
// thread, which it keeps waiting for as long as that says and no longer.
#pragma once

#include <optional>
#include <variant>

#include "broker/rival.h"
#include "broker/server.h"
#include "common/dialer.h"

namespace csa {

class RivalGreeter {
 public:
  // `listen`: hears beacons by itself, and can probe().
  RivalGreeter(const ServeConfig& config, bool listen, const Log& log);

  struct Answer {
    Endpoint at;
    std::variant<Welcome, Refused> said;
  };
  // There may be one.
  void suspect(const Endpoint& at, TimePoint now) { places_.add(at, now); }
  // Asks the network who is there.
  void probe();
  // Somebody is being greeted, or waits for that.
  [[nodiscard]] bool busy() const { return at_.has_value() || !places_.empty(); }
  // Goes on, for at most `limit`. Who does not answer within a second is dropped.
  [[nodiscard]] std::optional<Answer> turn(std::chrono::milliseconds limit);

 private:
  void greet(const Endpoint& at, TimePoint now);
  void hang_up();

  Hello hello_;
  Dialer dialer_;
  RivalPlaces places_;
  std::optional<Endpoint> at_;  // who is being greeted
  TimePoint until_;
};

}  // namespace csa
