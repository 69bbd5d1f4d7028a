// Full-text tables and R*Trees in a merge. Their index rows cannot be merged: those of two writers
// put together look sound and miss hits. So the rows of their documents are merged like any table's
// and written through the virtual table, and an index over another table's rows (external content)
// follows what the merge does to these. Rows of R*Trees are told from the changes (rtree_rows.h).
// Belongs to the ledger's thread; calls throw SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "broker/rtree_rows.h"
#include "common/schema.h"
#include "common/sqlite.h"
#include "common/value.h"

namespace csa {

// What CREATE VIRTUAL TABLE says; names in lower case, values without quotes.
struct VirtualDefinition {
  std::string module;
  std::map<std::string, std::string> options;  // "content" -> "part"
};
[[nodiscard]] VirtualDefinition parse_virtual(std::string_view create_statement);

class MergeVirtual {
 public:
  // `db` must outlive this, which is made anew after a change of the schema.
  explicit MergeVirtual(const Database& db);
  ~MergeVirtual();
  MergeVirtual(const MergeVirtual&) = delete;
  MergeVirtual& operator=(const MergeVirtual&) = delete;

  enum class Part : std::uint8_t {
    kNone,     // an ordinary table
    kDerived,  // index rows that follow from others: never merged
    kRows,     // the documents of a full-text table
    kTree,     // an R*Tree by its own name, or its shadow tables
    kOpaque,   // of any other virtual table: applied as they are, or not at all
  };
  [[nodiscard]] Part part_of(const std::string& table) const;
  [[nodiscard]] bool has_trees() const { return !trees_.empty(); }

  // `table`: of kTree, by the tree's own name or a shadow table's.
  struct Tree {
    RTree tree;
    std::map<std::string, RTreeShadow> shadows;  // by name in lower case
    std::string rowids;                          // the shadow table whose rowids are the tree's
  };
  [[nodiscard]] const Tree& tree_of(const std::string& table) const;
  // Nothing for its own name.
  [[nodiscard]] std::optional<RTreeShadow> shadow_of(const std::string& table) const;
  // As if it were a table with an INTEGER PRIMARY KEY; nothing where it is not the tree's own name.
  [[nodiscard]] std::optional<TableInfo> tree_info(const std::string& table) const;

  // An entry begins; each row change of it is noted before the first is merged.
  void begin();
  void note(const std::string& table);

  // Writes documents. `table`: of kRows. `row`: its carried columns, the rowid first.
  void insert(const std::string& table, const Row& row);
  void update(const std::string& table, std::int64_t rowid, const Row& row);
  void remove(const std::string& table, std::int64_t rowid);

  // Around a write to an ordinary table: indexes over it that the entry has changed too let go of
  // the old row and take the new one. `rowid`: of the row as it is there at that moment.
  [[nodiscard]] bool is_indexed(const std::string& table) const;
  void before_write(const std::string& table, std::int64_t rowid);
  void after_write(const std::string& table, std::int64_t rowid);
  // The entry's rows are merged: an index that it changed without a row of the other table (a
  // rebuild, say) is built anew.
  void finish();

 private:
  struct Documents;
  struct External;
  void add(const std::string& name, const std::string& sql);
  void add_tree(const std::string& name, bool integers);
  void add_documents(const std::string& name, bool fts5);
  void add_external(const std::string& name, const VirtualDefinition& definition);

  const Database& db_;
  std::map<std::string, Part> parts_;                            // by shadow table
  std::map<std::string, std::unique_ptr<Documents>> documents_;  // by shadow table
  std::vector<std::unique_ptr<External>> externals_;
  std::map<std::string, External*> external_of_;        // by shadow table
  std::map<std::string, std::shared_ptr<Tree>> trees_;  // by own name and shadow table
  std::set<std::string> noted_;                         // tables of the entry
};

}  // namespace csa
