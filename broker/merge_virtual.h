// Full-text tables and R*Trees in a merge. Their index rows cannot be merged: those of two writers
// put together look sound and miss hits. So the rows of their documents, and those of R*Trees as
// they are told from the changes (rtree_rows.h), are merged like any table's and written through
// the virtual table; an index over another table's rows follows these (merge_index.h). What a
// journal calls a column is what the master calls so, whatever lies between. Belongs to the
// ledger's thread; calls throw SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/merge_table.h"
#include "common/changeset.h"
#include "common/schema.h"
#include "common/sqlite.h"
#include "common/virtual_table.h"

namespace csa {

class MergeVirtual {
 public:
  // Of the schema as it is; made anew after a change of it.
  explicit MergeVirtual(const Database& db);

  // What rows of a journal's table are.
  enum class Part : std::uint8_t {
    kNone,      // an ordinary table's
    kDerived,   // of an index, and follow from others: never merged
    kDocument,  // the documents of a full-text table
    kTree,      // an R*Tree's
    kOpaque,    // any other virtual table's: applied as they are, or not at all
  };
  [[nodiscard]] static Part part_of(const ChangeTable& journal);

  // A virtual table of the master whose rows are merged, by its own name.
  struct Told {
    TableInfo info;      // as if it had an INTEGER PRIMARY KEY
    std::string logged;  // the shadow table whose rows in the log are its rows
    std::string definition;
    std::size_t coordinates = 0;  // of an R*Tree: that many columns behind the key
  };
  [[nodiscard]] bool has_trees() const { return has_trees_; }
  // nullptr: it is none.
  [[nodiscard]] const Told* told(const std::string& table) const;
  // What the log tells by the shadow table `table`; nullptr: nothing that is merged.
  [[nodiscard]] const Told* logged_by(const std::string& table) const;
  // All those shadow tables.
  [[nodiscard]] std::vector<std::string> logged() const;
  // The shadow table `table` holds documents: written itself it would leave their index behind.
  [[nodiscard]] bool holds_documents(const std::string& table) const;
  // The table by which the log tells of rows of `table`.
  [[nodiscard]] std::string logged_as(const std::string& table) const;
  // The journal's virtual table is defined at the master as it was at the node.
  [[nodiscard]] bool is_same(const VirtualOwner& owner) const;
  // Rows of `journal` can be rows of `master`, column by column as they are named.
  [[nodiscard]] bool fits(const ChangeTable& journal, const MergeTable& master) const;
  // A row of `journal` has a place in every dimension, where `master` is an R*Tree.
  [[nodiscard]] bool has_places(const ChangeTable& journal, const MergeTable& master) const;

 private:
  void add_documents(const Database& db, const std::string& name, const std::string& definition);
  void add_tree(const Database& db, const std::string& name, const std::string& definition,
                std::size_t auxiliary);

  std::map<std::string, std::string> definitions_;  // by name in lower case
  std::map<std::string, Told> told_;                // the same
  bool has_trees_ = false;
};

}  // namespace csa
