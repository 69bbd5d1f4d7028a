// A writer that keeps to a rate, whether answers are late or not, and notes how long each takes;
// and what a running program holds.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/system/place.h"

namespace csa::fault_test {

class Pace {
 public:
  // From now on writes of `sql`, whose one parameter counts up. The client must outlive this.
  Pace(Client& client, std::string sql, double each_second);
  ~Pace();
  Pace(const Pace&) = delete;
  Pace& operator=(const Pace&) = delete;

  // Milliseconds of the answers since the last call, in ascending order.
  [[nodiscard]] std::vector<double> take();
  [[nodiscard]] std::size_t refused() const { return refused_; }
  // Waits while it writes.
  void go_on(std::chrono::milliseconds duration);

 private:
  static constexpr int kUnderWayMax = 1000;  // then it waits for answers
  void run();

  Client& client_;
  const std::string sql_;
  const std::chrono::duration<double> gap_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool stop_ = false;         // guarded by mutex_
  int under_way_ = 0;         // guarded by mutex_
  std::vector<double> took_;  // guarded by mutex_
  std::atomic<std::size_t> refused_{0};
  std::thread thread_;
};

// REQUIRES: ascending, not empty.
[[nodiscard]] double percentile(const std::vector<double>& ascending, double share);

struct Held {
  std::size_t memory_kib = 0;  // resident
  std::size_t files = 0;       // open
};
// The processor's time that it has used.
[[nodiscard]] double processor_ms(pid_t program);
[[nodiscard]] Held held_by(pid_t program);
[[nodiscard]] std::size_t bytes_of(const std::string& file);
// Of the environment, for runs that are shorter than what is promised.
[[nodiscard]] double setting(const char* name, double usual);

}  // namespace csa::fault_test
