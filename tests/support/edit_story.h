// Edits of some nodes by seed, in tables of all kinds, and what they come to: told by the words of
// the rules alone, from who wrote what when. The nodes begin at the broker and part from it one
// after the other, or never; who has not parted writes at the master. The model knows no journal,
// and no order of return but for the rules that go by it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/merge_row.h"
#include "common/message.h"
#include "common/sqlite.h"
#include "tests/support/story_author.h"

namespace csa::test {

class EditStory {
 public:
  EditStory(std::uint64_t seed, std::size_t nodes);

  // The story's tables, and what is in them first.
  [[nodiscard]] static const std::string& schema();
  [[nodiscard]] const std::vector<RuleSetting>& rules() const { return rules_; }
  [[nodiscard]] const std::vector<StoryEdit>& edits() const { return edits_; }
  // The node knows what was written online before this time, and writes offline from then on.
  // Nothing: it stays online.
  [[nodiscard]] std::optional<std::int64_t> parts_at(std::size_t node) const;

  // What the tables must hold, and what they do hold, as the same kind of text. `arrivals`: the
  // edits' times in the order in which they took effect at the master; only rules that go by it
  // ask.
  [[nodiscard]] std::string expected(const std::vector<std::int64_t>& arrivals) const;
  [[nodiscard]] static std::string found(const Database& db);
  // A sentence about a text that was written and is neither in the tables nor in the inbox, or that
  // a search does not find; empty: there is none.
  [[nodiscard]] std::string missing(const Database& db) const;
  // For a failure's message.
  [[nodiscard]] std::string told() const;

 private:
  void set_rules(std::mt19937_64& engine);
  [[nodiscard]] StoryRows by_rules() const;
  [[nodiscard]] StoryRows by_arrival(const std::vector<std::int64_t>& arrivals) const;
  [[nodiscard]] std::optional<StoryRow> outcome(const std::vector<const StoryEdit*>& of_row,
                                                const std::optional<StoryRow>& before) const;
  [[nodiscard]] bool knows(const StoryEdit& edit, const StoryEdit& earlier) const;
  [[nodiscard]] bool is_overwritten(const StoryEdit& edit) const;

  RowRules rule_;  // by column of a StoryRow
  bool atomic_ = false;
  bool by_arrival_ = false;
  bool deletes_ = false;
  std::vector<RuleSetting> rules_;
  std::vector<std::int64_t> parts_at_;  // by node
  std::vector<StoryEdit> edits_;
};

}  // namespace csa::test
