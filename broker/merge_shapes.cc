#include "broker/merge_shapes.h"

#include <cstdint>

namespace csa {
namespace {

std::string list_of(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return " (" + text + ")";
}

std::string key_text(const ChangeTable& table, const std::vector<std::string>& columns) {
  std::vector<std::string> key;
  for (const std::uint32_t column :
       table.declared_key.empty() ? table.key_columns : table.declared_key) {
    key.push_back(column < columns.size() ? columns[column] : "?");
  }
  return (key.empty() ? " no key" : " the key" + list_of(key)) +
         (table.without_rowid ? " WITHOUT ROWID" : "");
}

}  // namespace

std::string shape_of(const ChangeTable& table, const std::vector<std::string>& columns) {
  return table.name + list_of(columns);
}

std::string both_shapes(const ChangeTable& journal, const MergeTable& master) {
  return "; the edit was made on " + shape_of(journal, journal.column_names) + ", the master has " +
         shape_of(master.info().change_table, master.column_names());
}

std::string both_keys(const ChangeTable& journal, const MergeTable& master) {
  return ": the edit's copy had" + key_text(journal, journal.column_names) + ", the master has" +
         key_text(master.info().change_table, master.column_names()) + both_shapes(journal, master);
}

}  // namespace csa
