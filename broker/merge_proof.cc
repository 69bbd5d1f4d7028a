#include "broker/merge_proof.h"

#include <algorithm>

#include "common/change_bytes.h"
#include "common/planted.h"

namespace csa {
namespace {

// The values of `columns`; nothing where one is NULL (the key then refers to nothing).
std::optional<Bytes> values_of(const Row& row, const std::vector<std::uint32_t>& columns) {
  Bytes values;
  for (const std::uint32_t column : columns) {
    if (std::holds_alternative<Null>(row[column])) return std::nullopt;
    append_value(row[column], values);
  }
  return values;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// Of so many it is asked before the end which are answered already.
constexpr std::size_t kQuestions = 32'768;

}  // namespace

ForeignKeyProof::ForeignKeyProof(const Database& db) : db_(db), let_go_at_(kQuestions) {}

void ForeignKeyProof::begin() {
  parents_wanted_.clear();
  keys_gone_.clear();
  let_go_at_ = kQuestions;
  for (ComputedKey& computed : computed_) computed.dangling.reset();
}

std::size_t ForeignKeyProof::number_of(Key key) {
  const auto found = std::find(keys_.begin(), keys_.end(), key);
  if (found != keys_.end()) return static_cast<std::size_t>(found - keys_.begin());
  keys_.push_back(std::move(key));
  return keys_.size() - 1;
}

void ForeignKeyProof::find_children() {
  by_parent_.emplace();
  bool computes = false;
  const std::vector<std::string> tables = shared_tables(db_);
  for (const std::string& table : tables) {
    std::optional<TableInfo> info = table_info(db_, table);
    if (!info) continue;
    computes = computes || info->carried.size() != info->columns.size();
    const MergeTable child(db_, std::move(*info));
    const std::vector<std::string>& names = child.column_names();
    for (const MergeReference& reference : child.references()) {
      Key key{child.name(), {}, reference.parent, reference.parent_columns};
      for (const std::uint32_t column : reference.columns) {
        key.child_columns.push_back(names[column]);
      }
      by_parent_->emplace(lower(reference.parent), number_of(std::move(key)));
    }
  }
  if (!computes) return;
  for (const std::string& table : tables) find_computed(table);
}

void ForeignKeyProof::find_computed(const std::string& table) {
  Statement columns = db_.prepare(
      "SELECT f.id, f.\"table\", f.\"from\", coalesce(f.\"to\", p.name), c.hidden IN (2, 3) OR"
      " coalesce(p.hidden IN (2, 3), 0) FROM pragma_foreign_key_list(?1, 'main') f"
      " JOIN pragma_table_xinfo(?1, 'main') c ON c.name = f.\"from\" COLLATE NOCASE"
      " JOIN pragma_table_xinfo(f.\"table\", 'main') p"
      " ON CASE WHEN f.\"to\" IS NULL THEN p.pk = f.seq + 1 ELSE p.name = f.\"to\" COLLATE NOCASE"
      " END ORDER BY f.id, f.seq");
  columns.bind(1, table);
  std::map<std::int64_t, std::pair<Key, bool>> keys;
  while (columns.step()) {
    auto& [key, computed] = keys[columns.column_int(0)];
    key.child = table;
    key.parent = columns.column_text(1);
    key.child_columns.push_back(columns.column_text(2));
    key.parent_columns.push_back(columns.column_text(3));
    computed = computed || columns.column_int(4) != 0;
  }
  for (auto& [id, key] : keys) {
    if (key.second) computed_.push_back({std::move(key.first), std::nullopt});
  }
}

// As SQLite counts them.
std::int64_t ForeignKeyProof::dangling(const Key& key) {
  std::string sql = "SELECT count(*) FROM main." + quote(key.child) +
                    " c WHERE NOT EXISTS (SELECT" + " 1 FROM main." + quote(key.parent) +
                    " p WHERE ";
  std::string all;
  for (std::size_t i = 0; i < key.child_columns.size(); ++i) {
    const std::string child = "c." + quote(key.child_columns[i]);
    sql += (i == 0 ? "p." : " AND p.") + quote(key.parent_columns[i]) + " = " + child;
    all += " AND " + child + " IS NOT NULL";
  }
  return db_.query_int(sql + ")" + all).value_or(0);
}

void ForeignKeyProof::before_change(const MergeTable& table) {
  if (!by_parent_) find_children();
  const std::string name = lower(table.name());
  for (ComputedKey& computed : computed_) {
    const Key& key = computed.key;
    if (computed.dangling || (lower(key.child) != name && lower(key.parent) != name)) continue;
    computed.dangling = dangling(key);
  }
}

void ForeignKeyProof::on_change(const MergeTable& table, const std::optional<Row>& before,
                                const std::optional<Row>& after) {
  if (!by_parent_) find_children();
  const std::vector<std::string>& names = table.column_names();
  if (after) {
    for (const MergeReference& reference : table.references()) {
      const std::optional<Bytes> values = values_of(*after, reference.columns);
      if (!values || (before && values_of(*before, reference.columns) == values)) continue;
      Key key{table.name(), {}, reference.parent, reference.parent_columns};
      for (const std::uint32_t column : reference.columns) {
        key.child_columns.push_back(names[column]);
      }
      parents_wanted_.insert({number_of(std::move(key)), *values});
    }
  }
  if (before) note_gone(table, names, *before, after);
  if (parents_wanted_.size() + keys_gone_.size() >= let_go_at_) let_go();
}

void ForeignKeyProof::note_gone(const MergeTable& table, const std::vector<std::string>& names,
                                const Row& before, const std::optional<Row>& after) {
  const auto [first, last] = by_parent_->equal_range(lower(table.name()));
  for (auto child = first; child != last; ++child) {
    std::vector<std::uint32_t> columns;
    for (const std::string& name : keys_[child->second].parent_columns) {
      const auto found = std::find_if(names.begin(), names.end(), [&](const std::string& known) {
        return lower(known) == lower(name);
      });
      if (found == names.end()) break;
      columns.push_back(static_cast<std::uint32_t>(found - names.begin()));
    }
    if (columns.size() != keys_[child->second].parent_columns.size()) continue;
    const std::optional<Bytes> values = values_of(before, columns);
    if (!values || (after && values_of(*after, columns) == values)) continue;
    keys_gone_.insert({child->second, *values});
  }
}

// A parent that is there and goes later is asked for then, as is one of a child that comes later.
void ForeignKeyProof::let_go() {
  std::erase_if(parents_wanted_, [this](const Question& question) {
    return has_parent(question.key) && has_parent_row(question);
  });
  std::erase_if(keys_gone_, [this](const Question& question) {
    return !has_children(question) || has_parent_row(question);
  });
  let_go_at_ = std::max(kQuestions, 2 * (parents_wanted_.size() + keys_gone_.size()));
}

// What refers to a key is equal to it as the parent's column compares, whatever the child's says.
bool ForeignKeyProof::has_children(const Question& question) {
  const Key& key = keys_[question.key];
  if (key.parent_columns.size() != key.child_columns.size()) return false;
  std::vector<std::string> terms;
  for (std::size_t i = 0; i < key.child_columns.size(); ++i) {
    const std::string collation = collation_of(db_, key.parent, key.parent_columns[i]);
    terms.push_back(quote(key.child_columns[i]) +
                    (collation.empty() ? "" : " COLLATE " + quote(collation)));
  }
  return exists(key.child, terms, question.values);
}

bool ForeignKeyProof::has_parent_row(const Question& question) {
  const Key& key = keys_[question.key];
  std::vector<std::string> terms;
  for (const std::string& column : key.parent_columns) terms.push_back(quote(column));
  return exists(key.parent, terms, question.values);
}

bool ForeignKeyProof::exists(const std::string& table, const std::vector<std::string>& terms,
                             const Bytes& values) {
  std::string sql = "SELECT 1 FROM main." + quote(table) + " WHERE ";
  for (std::size_t i = 0; i < terms.size(); ++i) {
    sql += (i == 0 ? "" : " AND ") + terms[i] + " = ?" + std::to_string(i + 1);
  }
  auto statement = statements_.find(sql);
  if (statement == statements_.end()) {
    statement = statements_.emplace(sql, db_.prepare(sql + " LIMIT 1")).first;
  }
  ByteReader reader(values);
  for (int i = 1; !reader.at_end(); ++i) statement->second.bind(i, reader.value());
  const bool found = statement->second.step();
  statement->second.reset();
  return found;
}

bool ForeignKeyProof::has_parent(std::size_t key) {
  const auto [known, fresh] = has_parent_.try_emplace(key, false);
  if (fresh) known->second = table_info(db_, keys_[key].parent).has_value();
  return known->second;
}

std::optional<std::string> ForeignKeyProof::children_of(const MergeTable& table, const Row& row) {
  on_change(table, row, {});
  for (const Question& question : std::exchange(keys_gone_, {})) {
    if (has_children(question)) return keys_[question.key].child;
  }
  return std::nullopt;
}

std::optional<std::string> ForeignKeyProof::broken() {
  if (planted("merge a row without its parent")) return std::nullopt;
  const auto shown = [](const std::string& table, const std::vector<std::string>& columns) {
    return table + " (" + joined(columns) + ")";
  };
  for (const Question& question : parents_wanted_) {
    const Key& key = keys_[question.key];
    if (!has_parent(question.key)) {
      return "a row of " + shown(key.child, key.child_columns) + " refers to table " + key.parent +
             ", which is not there (any more)";
    }
    if (has_parent_row(question)) continue;
    return "FOREIGN KEY constraint failed: a row of " + shown(key.child, key.child_columns) +
           " refers to a row of " + shown(key.parent, key.parent_columns) +
           " that is not there (any more)";
  }
  for (const Question& question : keys_gone_) {
    const Key& key = keys_[question.key];
    if (!has_children(question) || has_parent_row(question)) continue;
    return "FOREIGN KEY constraint failed: a row of " + shown(key.parent, key.parent_columns) +
           " is deleted or changed, and rows of " + shown(key.child, key.child_columns) +
           " still refer to it";
  }
  for (const auto& [key, before] : computed_) {
    if (!before || dangling(key) <= *before) continue;
    return "FOREIGN KEY constraint failed: a row of " + shown(key.child, key.child_columns) +
           " would refer to a row of " + shown(key.parent, key.parent_columns) +
           " that is not there";
  }
  return std::nullopt;
}

}  // namespace csa
