// A broker of the test's own process, on a new database in a fresh folder and on the loopback
// interface alone, and clients for it. Belongs to the test's main thread; one at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "broker/opening.h"
#include "common/host.h"
#include "node/client.h"
#include "tests/support/scratch_folder.h"

namespace csa::threads_test {

class Served {
 public:
  // Serves at once.
  Served();
  ~Served();  // stop()
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  void start();
  // As SIGTERM ends a broker; checks that it ended well.
  void stop();
  [[nodiscard]] std::string master() const { return folder_.file("master.db"); }
  // REQUIREs that it opens; not waited for.
  [[nodiscard]] std::unique_ptr<Client> open(
      const std::string& replica, std::function<void(const ClientEvent&)> on_event = {}) const;

 private:
  const StopSignals signals_;  // before any thread, so that only the broker takes the signal
  ScratchFolder folder_;
  std::string group_;
  std::uint16_t beacon_port_ = 0;
  std::thread broker_;
};

void breathe();
[[nodiscard]] bool eventually(const std::function<bool()>& condition);

}  // namespace csa::threads_test
