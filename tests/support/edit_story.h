// Offline edits of some nodes by seed, in tables of all kinds, and what they come to: told by the
// words of the rules alone, from who wrote what when. The model knows no master, no journal and no
// order of return.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/message.h"
#include "common/sqlite.h"

namespace csa::test {

// The columns of each of the story's tables; of a document `key` and `a` alone.
struct StoryRow {
  std::string key, a, b, w;
  std::int64_t n = 0, hi = 0, lo = 0;
};

struct StoryEdit {
  std::int64_t at = 0;   // ascending, none twice
  std::size_t node = 0;  // 0, 1, ...
  std::string sql;
  std::string own;                // the text that it writes, nobody else's; empty: none
  std::string table, key;         // that the row had first
  std::optional<StoryRow> image;  // the row at the node afterwards; nothing: it was deleted
  bool key_changed = false, a = false, b = false, w = false;
  std::int64_t added = 0;  // to n
};

class EditStory {
 public:
  EditStory(std::uint64_t seed, std::size_t nodes);

  // The story's tables, and what is in them when the nodes part.
  [[nodiscard]] static const std::string& schema();
  [[nodiscard]] const std::vector<RuleSetting>& rules() const { return rules_; }
  [[nodiscard]] const std::vector<StoryEdit>& edits() const { return edits_; }

  // What the tables must hold, and what they do hold, as the same kind of text.
  [[nodiscard]] std::string expected() const;
  [[nodiscard]] static std::string found(const Database& db);
  // A sentence about a text that was written and is neither in the tables nor in the inbox, or that
  // a search does not find; empty: there is none.
  [[nodiscard]] std::string missing(const Database& db) const;
  // For a failure's message.
  [[nodiscard]] std::string told() const;

 private:
  using Key = std::pair<std::string, std::string>;  // table, key
  using Rows = std::map<Key, StoryRow>;
  struct Author;
  [[nodiscard]] static Rows first_rows();
  [[nodiscard]] std::optional<StoryRow> outcome(const std::vector<const StoryEdit*>& of_row,
                                                const std::optional<StoryRow>& before) const;
  [[nodiscard]] bool is_overwritten(const StoryEdit& edit) const;

  bool by_column_ = false;  // the rule is `merge`, else `newest`
  bool deletes_ = false;
  bool counts_ = false;  // n, hi, lo and w have rules of their own
  std::vector<RuleSetting> rules_;
  std::vector<StoryEdit> edits_;
};

}  // namespace csa::test
