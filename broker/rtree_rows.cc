#include "broker/rtree_rows.h"

#include <bit>
#include <utility>

#include "broker/row_identity.h"

namespace csa {
namespace {

constexpr std::size_t kCellsAt = 4;
constexpr std::size_t kIdSize = 8;
constexpr std::size_t kCoordinateSize = 4;

std::uint64_t big_endian(ByteView bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < size; ++i) value = value << 8U | bytes[at + i];
  return value;
}

Error foreign(const RTree& tree) {
  return {Errc::kMalformed, "its rows of the spatial index " + tree.name + " cannot be told"};
}

const std::int64_t* number(const Row& row, std::size_t column) {
  return column < row.size() ? std::get_if<std::int64_t>(&row[column]) : nullptr;
}

}  // namespace

Status RTreeRows::take(RTreeShadow shadow, const RowChange& change, const ChangeTable& table) {
  if (shadow == RTreeShadow::kParent) return Ok{};
  const std::optional<Row> before = row_before(change, table);
  const std::optional<Row> after = row_after(change, table);
  if (before && after && (*before)[0] != (*after)[0]) return foreign(tree_);
  const std::int64_t* const key = number(before ? *before : *after, 0);
  if (key == nullptr) return foreign(tree_);
  if (shadow == RTreeShadow::kNode) {
    const auto blob = [](const std::optional<Row>& row) -> std::optional<Bytes> {
      if (!row || row->size() != 2) return std::nullopt;
      const auto* const bytes = std::get_if<Bytes>(&row->at(1));
      return bytes == nullptr ? std::nullopt : std::optional(*bytes);
    };
    const auto [leaf, fresh] = leaves_.try_emplace(*key);
    if (fresh) leaf->second.before = blob(before);
    leaf->second.after = blob(after);
    bytes_ += fresh ? 4096 : 0;
    return Ok{};
  }
  const auto place = [](const std::optional<Row>& row) -> std::optional<Place> {
    if (!row) return std::nullopt;
    // A row that got its id here has no place until it is in a leaf.
    const std::int64_t* const node = number(*row, 1);
    return Place{node == nullptr ? 0 : *node, Row(row->begin() + 2, row->end())};
  };
  if (table.column_count < 2) return foreign(tree_);
  const auto [seen, fresh] = rows_.try_emplace(*key);
  if (fresh) {
    seen->second.before = place(before);
    seen->second.assigned = change.assigned;
    bytes_ += 256;
  }
  seen->second.after = place(after);
  return Ok{};
}

ChangeTable RTreeRows::table() const {
  ChangeTable table;
  table.name = tree_.name;
  table.column_count = static_cast<std::uint32_t>(tree_.columns.size());
  table.key_columns = {0};
  table.column_names = tree_.columns;
  return table;
}

Result<Row> RTreeRows::row(std::int64_t id, const Place& place, Blob which) const {
  const auto leaf = leaves_.find(place.node);
  if (leaf == leaves_.end() || !(leaf->second.*which)) return foreign(tree_);
  const Bytes& blob = *(leaf->second.*which);
  const std::size_t cell = kIdSize + tree_.coordinates * kCoordinateSize;
  if (blob.size() < kCellsAt) return foreign(tree_);
  const std::uint64_t cells = big_endian(blob, 2, 2);
  if (kCellsAt + cells * cell > blob.size()) return foreign(tree_);
  if (1 + tree_.coordinates + place.auxiliary.size() != tree_.columns.size()) {
    return foreign(tree_);
  }
  for (std::size_t at = kCellsAt; at < kCellsAt + cells * cell; at += cell) {
    if (static_cast<std::int64_t>(big_endian(blob, at, kIdSize)) != id) continue;
    Row row{id};
    for (std::size_t i = 0; i < tree_.coordinates; ++i) {
      const auto bits = static_cast<std::uint32_t>(
          big_endian(blob, at + kIdSize + i * kCoordinateSize, kCoordinateSize));
      if (tree_.integers) {
        row.emplace_back(std::int64_t{static_cast<std::int32_t>(bits)});
      } else {
        row.emplace_back(static_cast<double>(std::bit_cast<float>(bits)));
      }
    }
    row.insert(row.end(), place.auxiliary.begin(), place.auxiliary.end());
    return row;
  }
  return foreign(tree_);
}

Result<std::vector<RowChange>> RTreeRows::rows() const {
  std::vector<RowChange> rows;
  for (const auto& [id, seen] : rows_) {
    RowChange change;
    change.key = {id};
    change.assigned = seen.assigned && !seen.before;
    // The physical key is not repeated among the values (common/changeset.h).
    const auto fill = [](const Row& row, std::vector<std::optional<Value>>& values) {
      values.emplace_back(std::nullopt);
      values.insert(values.end(), row.begin() + 1, row.end());
    };
    std::optional<Row> before, after;
    if (seen.before) {
      Result<Row> found = row(id, *seen.before, &Leaf::before);
      if (!found) return found.error();
      before = std::move(*found);
      fill(*before, change.old_values);
    }
    if (seen.after) {
      Result<Row> found = row(id, *seen.after, &Leaf::after);
      if (!found) return found.error();
      after = std::move(*found);
      fill(*after, change.new_values);
    }
    if (before == after) continue;  // moved to another leaf
    change.op = !before ? RowOp::kInsert : !after ? RowOp::kDelete : RowOp::kUpdate;
    rows.push_back(std::move(change));
  }
  return rows;
}

}  // namespace csa
