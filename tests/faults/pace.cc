#include "tests/faults/pace.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/system_clock.h"

namespace csa::fault_test {

Pace::Pace(Client& client, std::string sql, double each_second)
    : client_(client), sql_(std::move(sql)), gap_(1.0 / each_second), thread_([this] { run(); }) {}

Pace::~Pace() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    ended_.notify_all();
  }
  thread_.join();
  std::unique_lock lock(mutex_);
  ended_.wait(lock, [this] { return under_way_ == 0; });
}

void Pace::run() {
  const auto start = monotonic_now();
  for (std::int64_t number = 1;; ++number) {
    const auto due = start + std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                                 gap_ * static_cast<double>(number));
    {
      std::unique_lock lock(mutex_);
      if (ended_.wait_until(lock, due, [this] { return stop_; })) return;
      ended_.wait(lock, [this] { return under_way_ < kUnderWayMax; });
      ++under_way_;
    }
    client_.exec_async(
        sql_, {number}, {}, [this, sent = monotonic_now()](const WriteResult& result) {
          const std::chrono::duration<double, std::milli> took = monotonic_now() - sent;
          const std::lock_guard lock(mutex_);
          if (result.status != WriteResult::Status::kCommitted) ++refused_;
          took_.push_back(took.count());
          --under_way_;
          ended_.notify_all();
        });
  }
}

std::vector<double> Pace::take() {
  std::vector<double> all;
  {
    const std::lock_guard lock(mutex_);
    all.swap(took_);
  }
  std::sort(all.begin(), all.end());
  return all;
}

void Pace::go_on(std::chrono::milliseconds duration) {
  std::unique_lock lock(mutex_);
  (void)ended_.wait_for(lock, duration, [this] { return stop_; });
}

double percentile(const std::vector<double>& ascending, double share) {
  const double last = static_cast<double>(ascending.size() - 1);
  return ascending.at(static_cast<std::size_t>(std::lround(share * last)));
}

double processor_ms(pid_t program) {
  // After the name, which may hold spaces: state is field 3, user and system ticks 14 and 15.
  std::ifstream stat("/proc/" + std::to_string(program) + "/stat");
  std::string text;
  std::getline(stat, text);
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  double user = 0;
  double system = 0;
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  fields >> user >> system;
  return (user + system) * 1000 / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

Held held_by(pid_t program) {
  const std::string folder = "/proc/" + std::to_string(program);
  Held held;
  std::ifstream status(folder + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmRSS:", 0) == 0) held.memory_kib = std::stoul(line.substr(6));
  }
  std::error_code gone;
  for (const auto& file : std::filesystem::directory_iterator(folder + "/fd", gone)) {
    (void)file;
    ++held.files;
  }
  return held;
}

std::size_t bytes_of(const std::string& file) {
  std::error_code missing;
  const auto size = std::filesystem::file_size(file, missing);
  return missing ? 0 : size;
}

double setting(const char* name, double usual) {
  const char* const value = std::getenv(name);
  return value == nullptr ? usual : std::atof(value);
}

}  // namespace csa::fault_test
