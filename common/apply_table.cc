#include "common/apply_table.h"

#include <span>

#include "common/capture_table.h"
#include "common/check.h"

namespace csa {
namespace {

// Different sets of updated columns kept prepared, for one table.
constexpr std::size_t kUpdatesMax = 64;

std::string parameter_text(int parameter) { return "?" + std::to_string(parameter); }

// As deep as their number's logarithm: SQLite refuses expressions that are deeper than 1,000.
std::string all_of(std::span<const std::string> terms) {
  if (terms.size() == 1) return terms.front();
  const std::size_t half = terms.size() / 2;
  return "(" + all_of(terms.first(half)) + " AND " + all_of(terms.subspan(half)) + ")";
}

std::string and_all_of(const std::vector<std::string>& terms) {
  return terms.empty() ? "" : " AND " + all_of(terms);
}

// Values bound one after the other. Nothing is copied: they stay until the statement is reset.
class Binder {
 public:
  explicit Binder(Statement& statement) : statement_(statement) {}
  void add(const Value& value) {
    const int position = next_++;
    int code = SQLITE_OK;
    if (const auto* const text = std::get_if<Text>(&value)) {
      code = sqlite3_bind_text64(statement_.handle(), position, text->utf8.data(),
                                 text->utf8.size(), SQLITE_STATIC, SQLITE_UTF8);
    } else if (const auto* const blob = std::get_if<Bytes>(&value); blob && !blob->empty()) {
      code = sqlite3_bind_blob64(statement_.handle(), position, blob->data(), blob->size(),
                                 SQLITE_STATIC);
    } else {
      statement_.bind(position, value);
    }
    if (code != SQLITE_OK) throw_sqlite(sqlite3_db_handle(statement_.handle()), code, "bind");
  }
  void add(const Row& values) {
    for (const Value& value : values) add(value);
  }

 private:
  Statement& statement_;
  int next_ = 1;
};

}  // namespace

std::string describe(const Value& value) {
  constexpr std::size_t kShown = 40;
  struct Describer {
    std::string operator()(const Null&) const { return "NULL"; }
    std::string operator()(std::int64_t v) const { return std::to_string(v); }
    std::string operator()(double v) const { return std::to_string(v); }
    std::string operator()(const Text& v) const {
      return "'" + v.utf8.substr(0, kShown) + (v.utf8.size() > kShown ? "...'" : "'");
    }
    std::string operator()(const Bytes& v) const {
      return "x'" + to_hex(ByteView(v).first(std::min(v.size(), kShown / 2))) +
             (v.size() > kShown / 2 ? "...'" : "'");
    }
    std::string operator()(const Text16& v) const {
      return "UTF-16 text of " + std::to_string(v.units.size()) + " units";
    }
  };
  return std::visit(Describer{}, value);
}

std::string describe(const Row& key) {
  std::string text;
  for (const Value& value : key) text += (text.empty() ? "" : ", ") + describe(value);
  return text;
}

AppliedTable::AppliedTable(const Database& db, TableInfo info, bool utf16)
    : db_(db), info_(std::move(info)), roles_(column_roles(info_.change_table)), utf16_(utf16) {
  const ChangeTable& table = info_.change_table;
  const std::string name = "main." + quote(table.name);
  std::string columns;
  std::string values;
  int parameter = 1;
  const auto add = [&](const std::string& column) {
    columns += (columns.empty() ? "" : ", ") + quote(column);
    values += (values.empty() ? "" : ", ") + parameter_text(parameter++);
  };
  if (!table.without_rowid) {
    add(info_.rowid_name);
  } else {
    for (const std::uint32_t position : table.key_columns) add(column(position).name);
  }
  for (std::size_t i = 0; i < roles_.size(); ++i) {
    if (roles_[i] != ColumnRole::kKey) add(column(i).name);
  }
  // Without OR the schema's ON CONFLICT clauses would throw rows away in silence.
  insert_ =
      db.prepare("INSERT OR FAIL INTO " + name + " (" + columns + ") VALUES (" + values + ")");
  parameter = 1;
  const std::string key = where_exact_key(parameter);
  read_ = db.prepare(select_rows(info_) + key);
  remove_key_ = db.prepare("DELETE FROM " + name + key);
  std::vector<std::string> expected;
  for (std::size_t i = 0; i < roles_.size(); ++i) {
    if (roles_[i] != ColumnRole::kKey) expected.push_back(where_value(i, parameter++));
  }
  remove_ = db.prepare("DELETE FROM " + name + key + and_all_of(expected));
}

std::string AppliedTable::where_exact_key(int& parameter) const {
  const ChangeTable& table = info_.change_table;
  if (!table.without_rowid) {
    return " WHERE " + quote(info_.rowid_name) + " = " + parameter_text(parameter++);
  }
  std::string sql;
  for (const std::uint32_t position : table.key_columns) {
    const std::string name = quote(column(position).name);
    const std::string value = parameter_text(parameter++);
    sql.append(sql.empty() ? " WHERE " : " AND ").append(name).append(" = ").append(value);
    sql.append(" AND ").append(name).append(" COLLATE BINARY = ").append(value);
    sql.append(" AND typeof(").append(name).append(") = typeof(").append(value).append(")");
  }
  return sql;
}

std::string AppliedTable::where_value(std::size_t position, int parameter) const {
  const std::string name = quote(column(position).name);
  const std::string value = parameter_text(parameter);
  // The plus strips the affinity, which would make '1' equal to 1.
  std::string sql = "+" + name + " COLLATE BINARY IS " + value;
  if (column(position).untyped) sql += " AND typeof(" + name + ") = typeof(" + value + ")";
  return sql;
}

Error AppliedTable::damage(const Row& key, const std::string& difference) const {
  return {Errc::kDamaged, "apply: table " + info_.change_table.name + ", row " + describe(key) +
                              ": " + difference +
                              "; this copy differs from the master, fetch a new one"};
}

std::optional<Row> AppliedTable::read(const Row& key) {
  read_.reset();
  Binder(read_).add(key);
  if (!read_.step()) return std::nullopt;
  Row row;
  for (std::size_t i = 0; i < roles_.size(); ++i) {
    row.push_back(read_.column_stored(static_cast<int>(i), utf16_));
  }
  read_.reset();
  return row;
}

bool AppliedTable::remove_key(const Row& key) {
  Binder(remove_key_).add(key);
  remove_key_.run();
  return sqlite3_changes(db_.handle()) == 1;
}

std::string AppliedTable::difference(const RowChange& change, const Row& found) const {
  for (std::size_t i = 0; i < change.old_values.size() && i < found.size(); ++i) {
    if (!change.old_values[i] || *change.old_values[i] == found[i]) continue;
    return "column " + column(i).name + " holds " + describe(found[i]) + ", not " +
           describe(*change.old_values[i]);
  }
  return {};
}

std::string AppliedTable::explain(const RowChange& change) {
  const std::optional<Row> found = read(change.key);
  if (!found) return "the row is missing";
  const std::string text = difference(change, *found);
  return text.empty() ? "the row was not changed" : text;
}

Status AppliedTable::execute(Statement& statement, const RowChange& change) {
  const int code = statement.try_step();
  if (code != SQLITE_DONE) {
    const std::string message = sqlite3_errmsg(db_.handle());
    statement.reset();
    const int primary = code & 0xff;
    if (primary == SQLITE_CONSTRAINT || primary == SQLITE_MISMATCH || primary == SQLITE_TOOBIG ||
        primary == SQLITE_ERROR) {
      return damage(change.op == RowOp::kInsert || !change.new_key ? change.key : *change.new_key,
                    message);
    }
    throw SqliteError(code, "apply to table " + info_.change_table.name + ": " + message);
  }
  statement.reset();
  if (sqlite3_changes(db_.handle()) != 1) return damage(change.key, explain(change));
  return Ok{};
}

Status AppliedTable::insert(const RowChange& change) {
  Binder binder(insert_);
  binder.add(change.key);
  for (std::size_t i = 0; i < roles_.size(); ++i) {
    if (roles_[i] != ColumnRole::kKey) binder.add(*change.new_values[i]);
  }
  return execute(insert_, change);
}

Status AppliedTable::remove(const RowChange& change) {
  Binder binder(remove_);
  binder.add(change.key);
  for (std::size_t i = 0; i < roles_.size(); ++i) {
    if (roles_[i] != ColumnRole::kKey) binder.add(*change.old_values[i]);
  }
  return execute(remove_, change);
}

Statement& AppliedTable::update_statement(const RowChange& change) {
  Bytes shape(roles_.size() + 1, 0);
  shape[roles_.size()] = change.new_key ? 1 : 0;
  for (std::size_t i = 0; i < roles_.size(); ++i) {
    shape[i] =
        static_cast<std::uint8_t>((change.old_values[i] ? 1 : 0) + (change.new_values[i] ? 2 : 0));
  }
  if (const auto found = updates_.find(shape); found != updates_.end()) return found->second;
  if (updates_.size() >= kUpdatesMax) updates_.clear();
  int parameter = 1;
  const std::string key = where_exact_key(parameter);
  std::vector<std::string> expected;
  for (std::size_t i = 0; i < roles_.size(); ++i) {
    if (change.old_values[i]) expected.push_back(where_value(i, parameter++));
  }
  const std::string sql = "UPDATE OR FAIL main." + quote(info_.change_table.name) + " SET " +
                          assignments(change, parameter) + key + and_all_of(expected);
  return updates_.emplace(std::move(shape), db_.prepare(sql)).first->second;
}

std::string AppliedTable::assignments(const RowChange& change, int parameter) const {
  std::string set;
  const auto add = [&](const std::string& name) {
    set += (set.empty() ? "" : ", ") + quote(name) + " = " + parameter_text(parameter++);
  };
  const ChangeTable& table = info_.change_table;
  if (change.new_key && table.without_rowid) {
    for (const std::uint32_t position : table.key_columns) add(column(position).name);
  } else if (change.new_key) {
    add(info_.rowid_name);
  }
  for (std::size_t i = 0; i < roles_.size(); ++i) {
    if (change.new_values[i]) add(column(i).name);
  }
  return set;
}

Status AppliedTable::update(const RowChange& change) {
  bool sets = change.new_key.has_value();
  for (const auto& value : change.new_values) sets = sets || value.has_value();
  if (!sets) return damage(change.key, "the update changes nothing");
  Statement& statement = update_statement(change);
  Binder binder(statement);
  binder.add(change.key);
  for (const auto& value : change.old_values) {
    if (value) binder.add(*value);
  }
  if (change.new_key) binder.add(*change.new_key);
  for (const auto& value : change.new_values) {
    if (value) binder.add(*value);
  }
  return execute(statement, change);
}

}  // namespace csa
