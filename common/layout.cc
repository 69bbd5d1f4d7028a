// Layouts: the column names of one schema version, and their JSON text.
#include <nlohmann/json.hpp>

#include "common/schema.h"

namespace csa {
namespace {

std::vector<std::string> names_of(const TableInfo& info, const std::vector<std::uint32_t>& keys) {
  std::vector<std::string> names;
  names.reserve(keys.size());
  for (const std::uint32_t position : keys) {
    names.push_back(info.columns[info.carried[position]].name);
  }
  return names;
}

std::optional<std::vector<std::string>> strings_of(const nlohmann::json& table, const char* field) {
  const auto found = table.find(field);
  if (found == table.end() || !found->is_array()) return std::nullopt;
  std::vector<std::string> strings;
  for (const nlohmann::json& item : *found) {
    if (!item.is_string()) return std::nullopt;
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

}  // namespace

Layout read_layout(const Database& db) {
  Layout layout;
  for (const std::string& name : replicated_tables(db)) {
    const std::optional<TableInfo> info = table_info(db, name);
    if (!info) continue;
    TableLayout& table = layout[name];
    for (const std::uint32_t column : info->carried) {
      table.columns.push_back(info->columns[column].name);
    }
    const ChangeTable& keys = info->change_table;
    table.key = names_of(*info, keys.declared_key.empty() ? keys.key_columns : keys.declared_key);
    if (table.key.empty()) table.key.push_back(info->rowid_name);
  }
  return layout;
}

std::string to_json(const Layout& layout) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [name, table] : layout) {
    json[name] = {{"columns", table.columns}, {"key", table.key}};
  }
  // Names that are no valid UTF-8 are shown as well as they can be.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<Layout> parse_layout(std::string_view json) {
  const nlohmann::json parsed = nlohmann::json::parse(json, nullptr, false);
  if (!parsed.is_object()) return std::nullopt;
  Layout layout;
  for (const auto& [name, table] : parsed.items()) {
    if (!table.is_object()) return std::nullopt;
    auto columns = strings_of(table, "columns");
    auto key = strings_of(table, "key");
    if (!columns || !key) return std::nullopt;
    layout[name] = TableLayout{std::move(*columns), std::move(*key)};
  }
  return layout;
}

}  // namespace csa
