// A progress bar on stderr for what takes longer than a second: only on a terminal, else nothing.
// May be called from several threads.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "common/types.h"

namespace csa {

class ProgressBar {
 public:
  explicit ProgressBar(std::string title);
  ~ProgressBar();  // clears
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // `total` 0: not known yet. Redraws at most ten times a second.
  void update(std::uint64_t done, std::uint64_t total);
  // Removes the bar, so that other text can be printed; the next update draws it again.
  void clear();

 private:
  std::mutex mutex_;  // an update may come from a library's thread while main clears
  std::string title_;
  TimePoint begun_;
  TimePoint drawn_;
  bool terminal_;
  bool visible_ = false;
};

// "full copy  [##########          ]  50 %  12.0 of 24.0 MiB"
[[nodiscard]] std::string progress_line(const std::string& title, std::uint64_t done,
                                        std::uint64_t total);

}  // namespace csa
