// The rows of an R*Tree that a transaction changed, told from the changes of its shadow tables: two
// writers' trees cannot be put together, their rows can. NAME_rowid says which leaf a row lies in;
// the leaf's blob in NAME_node holds its coordinates (format: sqlite.org/rtree.html section 6 and
// the head of SQLite's rtree.c: cell count at octet 2, cells from 4 on, each a rowid of 8 octets
// and the coordinates as 32-bit floats or integers, big-endian). Pure; one thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/changeset.h"
#include "common/result.h"

namespace csa {

struct RTree {
  std::string name;
  std::vector<std::string> columns;  // the id, coordinates, auxiliary ones
  std::size_t coordinates = 0;
  bool integers = false;  // rtree_i32
};
enum class RTreeShadow : std::uint8_t { kNode, kParent, kRowid };

class RTreeRows {
 public:
  explicit RTreeRows(RTree tree) : tree_(std::move(tree)) {}

  // Changes of its shadow tables, in their order, with full rows. Failed: they are none of a tree.
  [[nodiscard]] Status take(RTreeShadow shadow, const RowChange& change, const ChangeTable& table);
  // As a table with an INTEGER PRIMARY KEY, with names of its columns.
  [[nodiscard]] ChangeTable table() const;
  // By ascending id; full rows, of table 0. Failed: a row's coordinates are not among the changes.
  [[nodiscard]] Result<std::vector<RowChange>> rows() const;
  // Memory, roughly.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  struct Place {  // of a row, as NAME_rowid has it
    std::int64_t node = 0;
    Row auxiliary;
  };
  struct Seen {
    std::optional<Place> before, after;
    bool assigned = false;
  };
  struct Leaf {
    std::optional<Bytes> before, after;
  };
  using Blob = std::optional<Bytes> Leaf::*;
  [[nodiscard]] Result<Row> row(std::int64_t id, const Place& place, Blob which) const;

  RTree tree_;
  std::map<std::int64_t, Seen> rows_;
  std::map<std::int64_t, Leaf> leaves_;
  std::uint64_t bytes_ = 0;
};

}  // namespace csa
