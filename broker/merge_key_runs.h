// A map of integer keys to integer keys that stays small where neighbours go to neighbours, as keys
// of one INSERT do; where they do not, it goes to a private temporary file, so that memory does not
// grow with the keys. Owned by one thread. Throws SqliteError for the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>

namespace csa {

class KeyRuns {
 public:
  // More runs than these are in the file.
  static constexpr std::size_t kInMemoryMax = 32'768;

  KeyRuns();
  ~KeyRuns();
  KeyRuns(KeyRuns&&) noexcept;
  KeyRuns& operator=(KeyRuns&&) noexcept;
  KeyRuns(const KeyRuns&) = delete;
  KeyRuns& operator=(const KeyRuns&) = delete;

  [[nodiscard]] std::optional<std::int64_t> find(std::int64_t key) const;
  [[nodiscard]] bool contains(std::int64_t key) const { return find(key).has_value(); }
  [[nodiscard]] bool empty() const;
  // Does nothing where `key` is there already.
  void add(std::int64_t key, std::int64_t to);
  // Every key, ascending. REQUIRES: `visit` changes nothing here.
  void each(const std::function<void(std::int64_t key)>& visit) const;
  void remove(std::int64_t key);

 private:
  struct Run {
    std::int64_t first = 0;
    std::int64_t last = 0;
    std::int64_t to = 0;  // where the run's first key goes
  };
  class File;
  // The run with the highest first key up to `key`.
  [[nodiscard]] std::optional<Run> run_at(std::int64_t key) const;
  // The run with the lowest first key from `key` on.
  [[nodiscard]] std::optional<Run> run_from(std::int64_t key) const;
  // In place of the run that begins with the same key.
  void put(const Run& run);
  void erase(std::int64_t first);

  std::map<std::int64_t, Run> runs_;  // by first key
  std::unique_ptr<File> file_;        // holds all of them, if there is one
};

}  // namespace csa
