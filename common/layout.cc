// Layouts: the column names of one schema version, and their JSON text; what a migration renamed.
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

// "table" and "columns", each only where there is something to say.
nlohmann::json json_of(const TableRenames& renames) {
  nlohmann::json json = nlohmann::json::object();
  if (!renames.table.empty()) json["table"] = renames.table;
  if (!renames.columns.empty()) json["columns"] = renames.columns;
  return json;
}

std::optional<TableRenames> renames_of(const nlohmann::json& json) {
  if (!json.is_object()) return std::nullopt;
  TableRenames renames;
  if (const auto table = json.find("table"); table != json.end()) {
    if (!table->is_string()) return std::nullopt;
    renames.table = table->get<std::string>();
  }
  const auto columns = json.find("columns");
  if (columns == json.end()) return renames;
  if (!columns->is_object()) return std::nullopt;
  for (const auto& [name, was] : columns->items()) {
    if (!was.is_string()) return std::nullopt;
    renames.columns[name] = was.get<std::string>();
  }
  return renames;
}

// Names that are no valid UTF-8 are shown as well as they can be. No line break is in it.
std::string json_text(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

constexpr std::string_view kRenamesRemark = "-- csa renames ";

}  // namespace

std::string renames_remark(const Renames& renames) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [table, was] : renames) json[table] = json_of(was);
  return std::string(kRenamesRemark) + json_text(json);
}

std::optional<Renames> parse_renames_remark(std::string_view sql) {
  // A statement may begin with a comment of that look.
  if (!sql.starts_with(kRenamesRemark) || sql.find('\n') != sql.npos) return std::nullopt;
  const nlohmann::json parsed =
      nlohmann::json::parse(sql.substr(kRenamesRemark.size()), nullptr, false);
  if (!parsed.is_object()) return std::nullopt;
  Renames renames;
  for (const auto& [table, described] : parsed.items()) {
    std::optional<TableRenames> was = renames_of(described);
    if (!was) return std::nullopt;
    renames[table] = std::move(*was);
  }
  return renames;
}

Layout read_layout(const Database& db, const Renames& renames) {
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
    if (const auto renamed = renames.find(name); renamed != renames.end()) {
      table.was = renamed->second;
    }
  }
  return layout;
}

std::string to_json(const Layout& layout) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [name, table] : layout) {
    json[name] = {{"columns", table.columns}, {"key", table.key}};
    if (table.was != TableRenames{}) json[name]["was"] = json_of(table.was);
  }
  return json_text(json);
}

std::optional<Layout> parse_layout(std::string_view json) {
  const nlohmann::json parsed = nlohmann::json::parse(json, nullptr, false);
  if (!parsed.is_object()) return std::nullopt;
  Layout layout;
  for (const auto& [name, table] : parsed.items()) {
    if (!table.is_object()) return std::nullopt;
    auto columns = strings_of(table, "columns");
    auto key = strings_of(table, "key");
    const auto was = table.find("was");
    std::optional<TableRenames> renamed = was == table.end() ? TableRenames{} : renames_of(*was);
    if (!columns || !key || !renamed) return std::nullopt;
    layout[name] = TableLayout{std::move(*columns), std::move(*key), std::move(*renamed)};
  }
  return layout;
}

}  // namespace csa
