#include "tests/shown/measure.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "common/system_clock.h"
#include "common/thread_priority.h"
#include "tools/caller.h"

namespace csa::shown_test {
namespace {

constexpr std::chrono::milliseconds kInterval{20};
constexpr std::chrono::seconds kOverdue{1};

double in_ms(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

double at_part(const std::vector<double>& sorted, double part) {
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<std::size_t>(last * part + 0.5)];
}

}  // namespace

Figures figures_of(std::vector<double> samples_ms) {
  if (samples_ms.empty()) return {};
  std::sort(samples_ms.begin(), samples_ms.end());
  return {samples_ms.size(), at_part(samples_ms, 0.5), at_part(samples_ms, 0.99),
          samples_ms.back()};
}

std::string decimal(double number) {
  std::ostringstream text;
  text.setf(std::ios::fixed);
  text.precision(2);
  text << number;
  return text.str();
}

std::string to_string(const Figures& figures) {
  return "p50 " + decimal(figures.p50) + " ms, p99 " + decimal(figures.p99) + " ms, max " +
         decimal(figures.max) + " ms (" + std::to_string(figures.count) + " samples)";
}

void show(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

std::uint64_t peak_memory_of(pid_t program) {
  std::ifstream status("/proc/" + std::to_string(program) + "/status");
  std::string word;
  while (status >> word) {
    std::uint64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  return 0;
}

Asker::Asker(const system_test::Place& place, const system_test::Ready& broker) {
  thread_ = std::thread([this, group = place.group(), endpoint = "127.0.0.1:" + broker.port] {
    run(group, endpoint);
  });
  if (!system_test::eventually([this] { return ready_.load(); })) {
    stop_ = true;
    thread_.join();
    FAIL("the broker was not reached");
  }
}

Asker::~Asker() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

Asker::Samples Asker::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(samples_, {});
}

void Asker::run(const std::string& group, const std::string& endpoint) {
  // The broker is measured: the ruler itself should not wait for a processor. Its socket thread
  // is started by this one and goes first as well.
  set_thread_priority(ThreadPriority::kFirst);
  const Log log;
  CommonFlags flags;
  flags.group = group;
  flags.brokers = {endpoint};
  Caller::Options options;
  options.program = "asker";
  auto caller = Caller::start(flags, options, log);
  CSA_CHECK(caller);
  // Far from the numbers that the uplink gives to its own.
  std::uint64_t number = std::uint64_t{1} << 40U;
  std::map<std::uint64_t, TimePoint> pings;
  std::map<std::uint64_t, TimePoint> questions;
  TimePoint next = monotonic_now();
  const auto answered = [this](auto& asked, std::uint64_t which, std::vector<double>& into) {
    const auto found = asked.find(which);
    if (found == asked.end()) return;
    const double took = in_ms(monotonic_now() - found->second);
    asked.erase(found);
    const std::lock_guard lock(mutex_);
    into.push_back(took);
  };
  const auto forget_overdue = [this](auto& asked, TimePoint before) {
    const std::lock_guard lock(mutex_);
    samples_.unanswered +=
        std::erase_if(asked, [&](const auto& one) { return one.second < before; });
  };
  while (!stop_) {
    const TimePoint now = monotonic_now();
    if ((*caller)->uplink().ready() && now >= next) {
      ready_ = true;
      next = now + kInterval;
      ++number;
      Ping ping;
      ping.number = number;
      (*caller)->uplink().send(ping);
      (*caller)->uplink().send(Admin{number, AdminVerb::kStatus});
      pings[number] = now;
      questions[number] = now;
      forget_overdue(pings, now - kOverdue);
      forget_overdue(questions, now - kOverdue);
    }
    const Caller::Turn turn = (*caller)->turn(std::max<Duration>(next - now, Duration::zero()));
    for (const Message& message : turn.messages) {
      if (const auto* const pong = std::get_if<Pong>(&message)) {
        answered(pings, pong->number, samples_.ping_ms);
      } else if (const auto* const reply = std::get_if<AdminReply>(&message); reply && reply->ok) {
        answered(questions, reply->request, samples_.status_ms);
      }
    }
    for (const LinkEvent& event : turn.events) {
      const std::lock_guard lock(mutex_);
      if (std::holds_alternative<LinkLost>(event)) ++samples_.lost;
    }
  }
  (*caller)->leave();
}

}  // namespace csa::shown_test
