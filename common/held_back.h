// Of a -wal file that grows because a reader holds it back: when to tell it. Pure.
#pragma once

#include <algorithm>

namespace csa {

class HeldBack {
 public:
  // True: so many pages wait after a checkpoint that it is to be told; anew each time that they
  // have doubled.
  [[nodiscard]] bool is_news(int pages) {
    constexpr int kPages = 16'000;
    if (pages < kPages) told_ = 0;
    if (pages < std::max(kPages, 2 * told_)) return false;
    told_ = pages;
    return true;
  }

 private:
  int told_ = 0;  // 0: nothing
};

}  // namespace csa
