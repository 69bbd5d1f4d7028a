// Full-text indexes over the rows of other tables (content=...) in a merge. Triggers do not run
// there, so each index is told of every row that the merge writes, and in the end finds what its
// rows say, whoever changed them and whether or not the node had the index. Which rows an index
// holds is the application's business: a row is indexed if the entry left it so, else if a trigger
// of the table would index it when it is inserted, else if it was before. One that does not tell
// which rows it holds is built anew and holds all of them; once it does, it follows them like any
// other. Belongs to the ledger's thread; calls throw SqliteError.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/changeset.h"
#include "common/spill.h"
#include "common/sqlite.h"

namespace csa {

class ContentIndexes {
 public:
  // `db` must outlive this, which is made anew after a change of the schema.
  explicit ContentIndexes(const Database& db);
  ~ContentIndexes();
  ContentIndexes(const ContentIndexes&) = delete;
  ContentIndexes& operator=(const ContentIndexes&) = delete;

  [[nodiscard]] bool empty() const { return indexes_.empty(); }
  // Not an index over what has no rowids: which of its rows change cannot be told.
  [[nodiscard]] bool follows(const std::string& index) const;
  [[nodiscard]] bool is_over(const std::string& table) const;

  // An entry begins; each row change that it holds is noted before the first is merged.
  void begin();
  void note(const RowChange& change, const ChangeTable& table);
  // Around a write to a row of `table`, with its rowid as it is at that moment. `at_node`: the
  // rowid that the row has at the node after the change.
  void before_write(const std::string& table, std::int64_t rowid);
  void after_write(const std::string& table, std::int64_t rowid, std::int64_t at_node);
  // The entry's rows are merged: what it did to an index alone is done too. `at_master`: where a
  // rowid of a table of the node is now.
  using Follow = std::function<std::int64_t(const std::string& table, std::int64_t rowid)>;
  void finish(const Follow& at_master);
  // What was done since begin() is undone.
  void take_back();
  // Tables were written otherwise than by before_write() and after_write(); what was done to them.
  void written_by_others(const Spill& changeset);

 private:
  struct Index;
  void add(const Database& db, const std::string& name, const std::string& definition);

  std::vector<std::unique_ptr<Index>> indexes_;
};

// A trigger that writes to an index.
struct IndexTrigger {
  std::string event;      // insert, update, delete
  std::string condition;  // for rows called `new` and `old`; empty: always
};
// Of this statement; nothing: it does not write to the index.
[[nodiscard]] std::optional<IndexTrigger> index_trigger(const std::string& create_trigger,
                                                        const std::string& index);

}  // namespace csa
