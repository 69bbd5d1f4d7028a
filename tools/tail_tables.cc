#include "tools/tail_tables.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "common/sqlite.h"
#include "common/terminal_text.h"

namespace csa {
namespace {

constexpr std::size_t kNamesMax = 20;  // in one notice

// By the name in lower case, as it is written.
using Names = std::map<std::string, std::string>;

bool has_all(const Names& names, const std::string& owner,
             std::initializer_list<const char*> endings) {
  return std::ranges::all_of(endings,
                             [&](const char* ending) { return names.contains(owner + ending); });
}

// A layout holds no virtual tables, only the tables that these keep their rows in. The ones to show
// for `owner`, empty where it has none that people could read; nothing: there is no such table.
// What moves a box of an R*Tree may change its node alone.
std::optional<std::vector<std::string>> row_tables(const Names& names, const std::string& owner) {
  if (has_all(names, owner, {"_node", "_parent", "_rowid"})) {
    return std::vector{owner + "_node", owner + "_rowid"};
  }
  const bool full_text = has_all(names, owner, {"_data", "_idx", "_config"}) ||
                         has_all(names, owner, {"_segments", "_segdir"});
  if (!full_text) return std::nullopt;
  if (!names.contains(owner + "_content")) return std::vector<std::string>();
  return std::vector{owner + "_content"};
}

// As people ask for it.
std::string known_as(const Names& names, const std::string& table) {
  constexpr std::array<std::string_view, 11> kEndings = {
      "_content", "_data", "_idx",  "_docsize", "_config", "_segments",
      "_segdir",  "_stat", "_node", "_parent",  "_rowid"};
  const std::size_t end = std::min(table.rfind('_'), table.size());
  const std::string owner = table.substr(0, end);
  const bool fits = std::ranges::find(kEndings, lower(table.substr(end))) != kEndings.end();
  return fits && row_tables(names, lower(owner)) ? owner : table;
}

std::string list_of(const Names& names) {
  std::set<std::string> shown;
  for (const auto& [low, name] : names) {
    if (table_class(low) == TableClass::kApplication) shown.insert(known_as(names, name));
  }
  std::string text;
  std::size_t count = 0;
  for (const std::string& name : shown) {
    if (++count > kNamesMax) break;
    text += (text.empty() ? "" : ", ") + printable(name);
  }
  if (shown.empty()) return "none";
  if (count > kNamesMax) text += ", and " + std::to_string(shown.size() - kNamesMax) + " more";
  return text;
}

// Tables that the log carries, or that lines are about, without a place in the layout.
bool is_always_there(const std::string& low) {
  return low == "csa_conflicts" || low == "sqlite_sequence";
}

// What the migration that made this layout has made of the table; empty: it has renamed none so.
std::string renamed_to(const Layout& layout, const Names& names, const std::string& low) {
  for (const auto& [name, table] : layout) {
    const std::string was = lower(table.was.table);
    if (was.empty()) continue;
    const bool of_owner = was == low + "_content" || was == low + "_rowid";
    if (was == low || (of_owner && known_as(names, name) != name)) return known_as(names, name);
  }
  return {};
}

}  // namespace

TailTables::TailTables(const std::set<std::string>& wanted) {
  for (const std::string& name : wanted) wanted_[lower(name)].typed = name;
  for (const auto& one : wanted_) shown_.insert(one.first);
}

bool TailTables::named(std::string_view table) const {
  return !shown_.empty() && shown_.contains(lower(table));
}

void TailTables::enter(std::uint64_t version, const Layout& layout) {
  Names names;
  for (const auto& one : layout) names.emplace(lower(one.first), one.first);
  shown_.clear();
  for (auto& [low, wanted] : wanted_) {
    shown_.insert(low);
    const bool was_here = std::exchange(wanted.here, false);
    const auto rows = row_tables(names, low);
    if (rows) shown_.insert(rows->begin(), rows->end());
    wanted.here = names.contains(low) || is_always_there(low) || (rows && !rows->empty());
    if (std::exchange(wanted.told, !wanted.here) || wanted.here) continue;
    const std::string name = printable(wanted.typed);
    const std::string there = "schema version " + std::to_string(version);
    const std::string now = renamed_to(layout, names, low);
    if (rows) {
      notices_.push_back(name +
                         " keeps no rows of its own, so that no change of it is printed. "
                         "Ask for the table that it is an index of.");
    } else if (was_here && !now.empty()) {
      notices_.push_back("from " + there + " on, the table " + name + " is named " +
                         printable(now) + ". Use --table " + printable(now) + " to go on with it.");
    } else {
      notices_.push_back(there + " has no table " + name + (was_here ? " any more" : "") +
                         "; nothing is printed of it until a migration makes one. Its tables: " +
                         list_of(names) + ".");
    }
  }
}

std::vector<std::string> TailTables::take_notices() { return std::exchange(notices_, {}); }

}  // namespace csa
