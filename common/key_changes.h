// Keys that a merge has changed, as csa_journal_outcome and answers carry them, and for people.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "common/limits.h"
#include "common/message.h"
#include "common/terminal_text.h"

namespace csa {

[[nodiscard]] std::string to_json(const std::vector<KeyChange>& keys);
// What csa cannot have written stands for no keys: the outcome itself is known all the same.
[[nodiscard]] std::vector<KeyChange> keys_of_json(const std::string& text);

// "part 7 is now 9, part 8 is now 10, and 3 more"; Key: {table, before, after}.
template <class Key>
[[nodiscard]] std::string sentence_of_keys(const std::vector<Key>& keys) {
  constexpr std::size_t kTold = 10;
  std::string text;
  for (std::size_t i = 0; i < keys.size() && i < kTold; ++i) {
    text += (i == 0 ? "" : ", ") + printable(keys[i].table) + " " + std::to_string(keys[i].before) +
            " is now " + std::to_string(keys[i].after);
  }
  if (keys.size() <= kTold) return text;
  text += keys.size() < limits::kKeyChangesMax ? ", and " : ", and at least ";
  return text + std::to_string(keys.size() - kTold) + " more";
}

}  // namespace csa
