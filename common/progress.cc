#include "common/progress.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <utility>

#include "common/cli.h"
#include "common/system_clock.h"

namespace csa {
namespace {

constexpr std::chrono::milliseconds kQuiet{1000};
constexpr std::chrono::milliseconds kRedraw{100};
constexpr std::size_t kWidth = 30;

std::string mib(std::uint64_t bytes) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", static_cast<double>(bytes) / 1048576.0);
  return text.data();
}

}  // namespace

std::string progress_line(const std::string& title, std::uint64_t done, std::uint64_t total) {
  if (total == 0) return title + "  " + mib(done) + " MiB";
  const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<std::size_t>(part * kWidth);
  return title + "  [" + std::string(filled, '#') + std::string(kWidth - filled, ' ') + "]  " +
         std::to_string(static_cast<int>(part * 100)) + " %  " + mib(done) + " of " + mib(total) +
         " MiB";
}

ProgressBar::ProgressBar(std::string title)
    : title_(std::move(title)),
      begun_(monotonic_now()),
      drawn_(begun_),
      terminal_(is_terminal(STDERR_FILENO)) {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::update(std::uint64_t done, std::uint64_t total) {
  if (!terminal_) return;
  const std::lock_guard lock(mutex_);
  const TimePoint now = monotonic_now();
  if (now - begun_ < kQuiet || (visible_ && now - drawn_ < kRedraw)) return;
  drawn_ = now;
  visible_ = true;
  std::fprintf(stderr, "\r\033[K%s", progress_line(title_, done, total).c_str());
  std::fflush(stderr);
}

void ProgressBar::clear() {
  const std::lock_guard lock(mutex_);
  if (!visible_) return;
  visible_ = false;
  std::fprintf(stderr, "\r\033[K");
  std::fflush(stderr);
}

}  // namespace csa
