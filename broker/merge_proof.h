// Foreign keys of the rows that a merge has written, asked in both directions when the entry is
// complete: what a parent's deletion would have done at the node is in its journal, so here nothing
// cascades and nothing may dangle. Belongs to the ledger's thread; throws SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "broker/merge_table.h"
#include "common/sqlite.h"

namespace csa {

class ForeignKeyProof {
 public:
  // The schema stays as it is as long as this lives.
  explicit ForeignKeyProof(const Database& db);  // must outlive this

  // Of another entry: what was written so far is no matter of this one.
  void begin();
  // A row of `table` is about to be written.
  void before_change(const MergeTable& table);
  // A row of `table` was written: nothing before, nothing after.
  void on_change(const MergeTable& table, const std::optional<Row>& before,
                 const std::optional<Row>& after);
  // A table with rows that refer to this one.
  [[nodiscard]] std::optional<std::string> children_of(const MergeTable& table, const Row& row);
  // What is broken, as a sentence; nothing: all holds.
  [[nodiscard]] std::optional<std::string> broken();

 private:
  struct Key {
    std::string child;
    std::vector<std::string> child_columns;
    std::string parent;
    std::vector<std::string> parent_columns;
    auto operator<=>(const Key&) const = default;
  };
  struct Question {
    std::size_t key = 0;  // of keys_
    Bytes values;         // encoded
    auto operator<=>(const Question&) const = default;
  };
  // A key with generated columns, which no change carries: asked of the whole tables.
  struct ComputedKey {
    Key key;
    std::optional<std::int64_t> dangling;  // before the entry; nothing: it has not touched them
  };
  [[nodiscard]] std::size_t number_of(Key key);
  void find_children();
  void note_gone(const MergeTable& table, const std::vector<std::string>& names, const Row& before,
                 const std::optional<Row>& after);
  void let_go();
  void find_computed(const std::string& table);
  [[nodiscard]] std::int64_t dangling(const Key& key);
  [[nodiscard]] bool has_parent(std::size_t key);
  [[nodiscard]] bool has_children(const Question& question);
  [[nodiscard]] bool has_parent_row(const Question& question);
  [[nodiscard]] bool exists(const std::string& table, const std::vector<std::string>& terms,
                            const Bytes& values);

  const Database& db_;
  std::vector<Key> keys_;
  std::map<std::size_t, bool> has_parent_;                            // of keys_
  std::optional<std::multimap<std::string, std::size_t>> by_parent_;  // lower-case name, key
  std::set<Question> parents_wanted_;  // of children that were written
  std::set<Question> keys_gone_;       // of parents that were deleted or changed
  std::size_t let_go_at_;              // questions
  std::vector<ComputedKey> computed_;
  std::map<std::string, Statement> statements_;
};

}  // namespace csa
