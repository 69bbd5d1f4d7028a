// What the shown tests measure with: percentiles, the peak memory of a running program, and an
// asker that keeps asking a broker for signs of life.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/system/place.h"

namespace csa::shown_test {

// Milliseconds of many repeats.
struct Figures {
  std::size_t count = 0;
  double p50 = 0;
  double p99 = 0;
  double max = 0;
};
[[nodiscard]] Figures figures_of(std::vector<double> samples_ms);
// "p50 0.12 ms, p99 0.40 ms, max 1.10 ms (500 samples)"
[[nodiscard]] std::string to_string(const Figures& figures);
// Two decimals.
[[nodiscard]] std::string decimal(double number);
// A line of result on stdout.
void show(const std::string& line);

// The most memory a running program ever had, in bytes (VmHWM); 0 when it does not run.
[[nodiscard]] std::uint64_t peak_memory_of(pid_t program);

// A peer of its own thread that sends a PING and an ADMIN status every 20 ms and times the answers.
// Runs until its end. Calls may be made from any thread.
class Asker {
 public:
  // REQUIREs that the broker is reached.
  Asker(const system_test::Place& place, const system_test::Ready& broker);
  ~Asker();
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  struct Samples {
    std::vector<double> ping_ms;
    std::vector<double> status_ms;
    std::uint64_t unanswered = 0;  // that are older than a second
    std::uint64_t lost = 0;        // how often the link fell
  };
  // Answers since the last call.
  [[nodiscard]] Samples take();

 private:
  void run(const std::string& group, const std::string& endpoint);

  std::atomic<bool> ready_{false};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  Samples samples_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace csa::shown_test
