// A map of integer keys to integer keys that stays small where neighbours go to neighbours, as keys
// of one INSERT do. Plain; not thread-safe.
#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <optional>

namespace csa {

class KeyRuns {
 public:
  [[nodiscard]] std::optional<std::int64_t> find(std::int64_t key) const {
    auto run = runs_.upper_bound(key);
    if (run == runs_.begin()) return std::nullopt;
    --run;
    if (key > run->second.last) return std::nullopt;
    return run->second.to + (key - run->first);
  }
  [[nodiscard]] bool contains(std::int64_t key) const { return find(key).has_value(); }
  [[nodiscard]] bool empty() const { return runs_.empty(); }
  // Does nothing where `key` is there already.
  void add(std::int64_t key, std::int64_t to) {
    auto next = runs_.upper_bound(key);
    if (next != runs_.begin()) {
      const auto run = std::prev(next);
      Run& before = run->second;
      if (key <= before.last) return;
      if (before.last == key - 1 && before.to + (key - run->first) == to) {
        before.last = key;
        return;
      }
    }
    runs_.emplace_hint(next, key, Run{key, to});
  }
  // Every key, ascending.
  template <class F>
  void each(F visit) const {
    for (const auto& [first, run] : runs_) {
      for (std::int64_t key = first; key < run.last; ++key) visit(key);
      visit(run.last);
    }
  }
  void remove(std::int64_t key) {
    auto run = runs_.upper_bound(key);
    if (run == runs_.begin()) return;
    --run;
    const std::int64_t first = run->first;
    const Run old = run->second;
    if (key > old.last) return;
    runs_.erase(run);
    if (first < key) runs_.emplace(first, Run{key - 1, old.to});
    if (key < old.last) runs_.emplace(key + 1, Run{old.last, old.to + (key - first) + 1});
  }

 private:
  struct Run {
    std::int64_t last = 0;
    std::int64_t to = 0;  // where the run's first key goes
  };
  std::map<std::int64_t, Run> runs_;  // by first key
};

}  // namespace csa
