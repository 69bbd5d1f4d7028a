#include "broker/merge_renamed.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "broker/merge_run.h"

namespace csa {
namespace {

constexpr std::size_t kJournalsKept = 64;

// A kept version by the table's present columns; nothing: there was no row, or it does not fit.
std::optional<Row> by_columns(const RowSet& versions, std::size_t version,
                              const std::vector<std::string>& names) {
  const Row& kept = versions.rows[version];
  if (kept.empty() || kept.size() != versions.columns.size()) return std::nullopt;
  Row row(names.size(), Null{});
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const auto place = std::ranges::find(names, versions.columns[i]);
    if (place != names.end()) row[static_cast<std::size_t>(place - names.begin())] = kept[i];
  }
  return row;
}

}  // namespace

RenamedRows::RenamedRows(const Database& db) : inbox_(db) {}

RenamedRows::Names RenamedRows::read(MergeSchema& schema, const NodeId& node,
                                     std::uint64_t journal) {
  Names names;
  inbox_.each_of(node, journal, [&](const KeptConflict& kept) {
    if (kept.decided.op != "update" || kept.decided.decision == "node") return true;
    const MergeTable* const table = schema.table(kept.decided.table);
    const std::optional<RowSet> versions = read_versions(kept.stored);
    if (table == nullptr || !versions) return true;
    std::array<std::optional<RowIdentity>, 3> rows;  // base, master, node
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::optional<Row> row = by_columns(*versions, i, table->column_names());
      if (row && !table->has_null_key(*row)) rows[i] = table->identity(*row, {});
    }
    for (const std::size_t i : {std::size_t{1}, std::size_t{0}}) {
      if (!rows[2] || !rows[i] || !std::ranges::equal(hash_of(*rows[i]).bytes, kept.hash)) continue;
      const Id128 at_node = hash_of(*rows[2]);
      if (at_node != hash_of(*rows[i])) names.insert_or_assign(at_node, *rows[i]);
      break;
    }
    return true;
  });
  return names;
}

std::optional<RowIdentity> RenamedRows::find(MergeSchema& schema, const NodeId& node,
                                             std::uint64_t journal, const Id128& row) {
  const std::pair key{node, journal};
  auto names = journals_.find(key);
  if (names == journals_.end()) {
    if (journals_.size() >= kJournalsKept) journals_.clear();
    names = journals_.emplace(key, read(schema, node, journal)).first;
  }
  const auto found = names->second.find(row);
  return found == names->second.end() ? std::nullopt : std::optional(found->second);
}

void RenamedRows::note(const NodeId& node, std::uint64_t journal, const RowIdentity& at_node,
                       const RowIdentity& was) {
  const auto names = journals_.find({node, journal});
  if (names == journals_.end()) return;  // read when it is asked for
  const Id128 name = hash_of(at_node);
  if (name == hash_of(was)) {
    names->second.erase(name);
  } else {
    names->second.insert_or_assign(name, was);
  }
}

}  // namespace csa
