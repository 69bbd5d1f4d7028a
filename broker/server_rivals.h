// Greets brokers that may be rivals, one at a time, and tells what each answers. Belongs to one
// thread, which it keeps waiting for as long as that says and no longer.
#pragma once

#include <atomic>
#include <future>
#include <optional>
#include <variant>
#include <vector>

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

// Looks whether another broker serves the group, before this one does: in a thread of its own, so
// that the database is looked at meanwhile. Only an answer to HELLO proves it, never a beacon.
class RivalSearch {
 public:
  RivalSearch() = default;
  // Gives up what was begun.
  ~RivalSearch();
  RivalSearch(const RivalSearch&) = delete;
  RivalSearch& operator=(const RivalSearch&) = delete;

  // Asks the network again and again from now on, where `config` has a beacon.
  void begin(const ServeConfig& config);
  // Goes on until it has been long enough, and whoever was heard was greeted: the answers, one of
  // each place. Until this is called nobody who comes is overlooked. Throws what kept it from
  // asking.
  [[nodiscard]] std::vector<RivalGreeter::Answer> end();

 private:
  [[nodiscard]] std::vector<RivalGreeter::Answer> look(const ServeConfig& config) const;

  std::atomic<bool> wanted_{false};
  std::atomic<bool> given_up_{false};
  std::future<std::vector<RivalGreeter::Answer>> found_;
};

}  // namespace csa
