#include "broker/merge_index.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "broker/merge_key_runs.h"
#include "common/changed_tables.h"
#include "common/virtual_table.h"

namespace csa {
namespace {

// `column` is another name of the table's rowid. Not so for a view.
bool is_rowid_of(const Database& db, const std::string& table, const std::string& column) {
  Statement kind =
      db.prepare("SELECT wr FROM pragma_table_list(?1) WHERE schema = 'main' AND type = 'table'");
  kind.bind(1, table);
  if (!kind.step() || kind.column_int(0) != 0) return false;
  const std::string name = lower(column);
  if (name == "rowid" || name == "oid" || name == "_rowid_") return true;
  Statement key = db.prepare("SELECT name, upper(type) FROM pragma_table_info(?1) WHERE pk > 0");
  key.bind(1, table);
  const bool alone =
      key.step() && lower(key.column_text(0)) == name && key.column_text(1) == "INTEGER";
  return alone && !key.step();
}

std::string comma_list(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += ", " + quote(name);
  return list;
}

std::optional<std::int64_t> rowid_in(const Row& key, const ChangeTable& table) {
  if (table.without_rowid || key.empty()) return std::nullopt;
  const auto* const rowid = std::get_if<std::int64_t>(&key.front());
  return rowid == nullptr ? std::nullopt : std::optional(*rowid);
}

// Finds `row` if the condition holds for it.
Statement feeding(const Database& db, const std::string& row, const std::string& condition) {
  try {
    if (!condition.empty()) return db.prepare(row + " AND (" + condition + "\n)");
  } catch (const SqliteError&) {
    // It can be asked in a trigger only: rather a row too many is found than one missed.
  }
  return db.prepare(row);
}

}  // namespace

struct ContentIndexes::Index {
  std::string name, content;  // lower case
  Statement row;              // what is indexed of a row of the other table
  Statement let_go, take, rebuild;
  Statement find, all;             // of what it holds; none where it does not tell
  Statement forget_all;            // none: it cannot
  std::vector<Statement> feeding;  // by trigger: whether it would index a row
  bool kept = false;               // by triggers, whatever is done to a row
  // Where it does not tell what it holds: every row, for it was built from them and has followed
  // all that was done to them since. And whether it did when the entry began.
  bool whole = false;
  bool was_whole = false;
  // Of the entry, by rowids of the node: rows that it left indexed or not, rows of the other table
  // that it changed, and whether it changed anything.
  KeyRuns in, out, rows;
  bool changed = false;
  bool held = false;  // the row that is being written

  [[nodiscard]] bool holds(std::int64_t rowid) {
    find.bind(1, rowid);
    const bool found = find.step();
    find.reset();
    return found;
  }
  [[nodiscard]] bool is_fed(std::int64_t rowid) {
    return std::ranges::any_of(feeding, [&](Statement& trigger) {
      trigger.bind(1, rowid);
      const bool fed = trigger.step();
      trigger.reset();
      return fed;
    });
  }
  [[nodiscard]] bool wants(std::int64_t rowid, std::int64_t at_node) {
    if (in.contains(at_node)) return true;
    if (out.contains(at_node)) return false;
    return feeding.empty() ? held : is_fed(rowid);
  }
  void run_on_row(Statement& order, std::int64_t rowid);
  void leave(std::int64_t rowid);
  void finish(const Follow& at_master);
  void renew(const KeyRuns& rowids);
};

std::optional<IndexTrigger> index_trigger(const std::string& create_trigger,
                                          const std::string& index) {
  SqlWords words(create_trigger);
  IndexTrigger trigger;
  std::size_t from = 0;
  bool body = false;
  std::string last;
  std::string before_last;
  for (std::string_view word = words.next(); !word.empty(); word = words.next()) {
    const std::string name = lower(unquoted(word));
    const bool plain = word.size() == name.size();
    if (body) {
      const bool deletes = last == "from" && before_last == "delete" && trigger.event != "insert";
      if ((last == "into" || deletes) && name == lower(index)) return trigger;
    } else if (plain && trigger.event.empty()) {
      if (name == "insert" || name == "update" || name == "delete") trigger.event = name;
    } else if (plain && name == "when" && from == 0) {
      from = words.at();
    } else if (plain && name == "begin") {
      body = true;
      const std::size_t to = words.at() - word.size();
      if (from != 0) trigger.condition = create_trigger.substr(from, to - from);
    }
    before_last = std::exchange(last, name);
  }
  return std::nullopt;
}

ContentIndexes::ContentIndexes(const Database& db) {
  Statement tables =
      db.prepare("SELECT name, sql FROM main.sqlite_schema WHERE type = 'table' AND rootpage = 0");
  std::vector<std::pair<std::string, std::string>> found;
  while (tables.step()) found.emplace_back(tables.column_text(0), tables.column_text(1));
  for (const auto& [name, sql] : found) add(db, name, std::string(definition_in(sql)));
}

ContentIndexes::~ContentIndexes() = default;

void ContentIndexes::add(const Database& db, const std::string& name,
                         const std::string& definition) {
  const VirtualDefinition parsed = parse_virtual(definition);
  if (!parsed.is_external()) return;
  const std::string& content = parsed.options.at("content");
  const auto option = parsed.options.find("content_rowid");
  const bool fts5 = parsed.module == "fts5";
  const std::string rowid = option == parsed.options.end() ? "rowid" : option->second;
  if (!is_rowid_of(db, content, rowid)) return;
  const std::vector<std::string> names = visible_columns(db, name);
  const std::string columns = comma_list(names);
  const std::string table = "main." + quote(name);
  const std::string order = "INSERT INTO " + table + " (" + quote(name);
  std::string values = "?1";
  for (std::size_t i = 0; i < names.size(); ++i) values += ", ?" + std::to_string(i + 2);
  auto index = std::make_unique<Index>();
  index->name = lower(name);
  index->content = lower(content);
  try {
    index->row = db.prepare("SELECT " + quote(rowid) + columns + " FROM main." + quote(content) +
                            " WHERE " + quote(rowid) + " = ?1");
    index->let_go =
        db.prepare(fts5 ? order + ", rowid" + columns + ") VALUES ('delete', " + values + ")"
                        : "DELETE FROM " + table + " WHERE docid = ?1");
    index->take = db.prepare("INSERT INTO " + table + " (" + (fts5 ? "rowid" : "docid") + columns +
                             ") VALUES (" + values + ")");
    index->rebuild = db.prepare(order + ") VALUES ('rebuild')");
  } catch (const SqliteError&) {
    return;  // its columns are none of the other table's
  }
  if (fts5) index->forget_all = db.prepare(order + ") VALUES ('delete-all')");
  const std::string sizes = name + "_docsize";
  const std::vector<std::string> told = visible_columns(db, sizes);
  if (!told.empty()) {
    const std::string select = "SELECT " + quote(told.front()) + " FROM main." + quote(sizes);
    index->find = db.prepare(select + " WHERE " + quote(told.front()) + " = ?1");
    index->all = db.prepare(select);
  }
  Statement triggers = db.prepare(
      "SELECT sql FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE");
  triggers.bind(1, content);
  std::set<std::string> kept_at;
  while (triggers.step()) {
    const std::optional<IndexTrigger> trigger = index_trigger(triggers.column_text(0), name);
    if (!trigger) continue;
    if (trigger->condition.empty()) kept_at.insert(trigger->event);
    if (trigger->event != "insert") continue;
    const std::string row =
        "SELECT 1 FROM main." + quote(content) + " AS new WHERE new." + quote(rowid) + " = ?1";
    index->feeding.push_back(feeding(db, row, trigger->condition));
  }
  index->kept = kept_at.size() == 3;
  indexes_.push_back(std::move(index));
}

bool ContentIndexes::follows(const std::string& index) const {
  return std::ranges::any_of(indexes_,
                             [&](const auto& known) { return known->name == lower(index); });
}

bool ContentIndexes::is_over(const std::string& table) const {
  return std::ranges::any_of(indexes_,
                             [&](const auto& known) { return known->content == lower(table); });
}

void ContentIndexes::begin() {
  for (const auto& index : indexes_) {
    index->in = {};
    index->out = {};
    index->rows = {};
    index->changed = false;
    index->was_whole = index->whole;
  }
}

void ContentIndexes::take_back() {
  for (const auto& index : indexes_) index->whole = index->was_whole;
}

void ContentIndexes::written_by_others(const Spill& changeset) {
  const auto may_stray = [](const auto& index) { return index->whole && !index->kept; };
  if (std::ranges::none_of(indexes_, may_stray)) return;
  for (const std::string& changed : changed_tables(changeset)) {
    const std::string table = lower(changed);
    for (const auto& index : indexes_) {
      const bool concerned = table == index->content || table.starts_with(index->name + "_");
      if (concerned && !index->kept) index->whole = false;
    }
  }
}

void ContentIndexes::note(const RowChange& change, const ChangeTable& table) {
  const std::string name = lower(table.owner ? table.owner->name : table.name);
  const Row& after = change.new_key ? *change.new_key : change.key;
  const std::optional<std::int64_t> rowid = rowid_in(after, table);
  for (const auto& index : indexes_) {
    if (!table.owner && index->content == name && rowid) {
      index->rows.add(*rowid, *rowid);
      if (const auto before = rowid_in(change.key, table)) index->rows.add(*before, *before);
    }
    if (!table.owner || index->name != name) continue;
    index->changed = true;
    if (!rowid || shadow_kind(table) != "docsize") continue;
    KeyRuns& left = change.op == RowOp::kDelete ? index->out : index->in;
    (change.op == RowOp::kDelete ? index->in : index->out).remove(*rowid);
    left.add(*rowid, *rowid);
  }
}

void ContentIndexes::before_write(const std::string& table, std::int64_t rowid) {
  for (const auto& index : indexes_) {
    if (index->content != lower(table)) continue;
    index->changed = true;
    index->held = index->find ? index->holds(rowid) : index->whole;
    if (index->held) index->leave(rowid);
  }
}

void ContentIndexes::after_write(const std::string& table, std::int64_t rowid,
                                 std::int64_t at_node) {
  for (const auto& index : indexes_) {
    if (index->content != lower(table)) continue;
    index->changed = true;
    const bool wanted = index->find ? index->wants(rowid, at_node) : index->whole;
    index->held = false;
    if (wanted) index->run_on_row(index->take, rowid);
  }
}

void ContentIndexes::finish(const Follow& at_master) {
  for (const auto& index : indexes_) {
    if (!index->changed) continue;
    if (index->find) {
      index->finish(at_master);
      continue;
    }
    // What was done to the index alone is not known.
    if (!index->whole || index->rows.empty()) index->rebuild.run();
    index->whole = true;
  }
}

// The values are read first: a statement that reads and writes has full-text tables write their
// index before it, so that each row would get a segment of its own.
void ContentIndexes::Index::run_on_row(Statement& order, std::int64_t rowid) {
  row.bind(1, rowid);
  const bool found = row.step();
  const int used = sqlite3_bind_parameter_count(order.handle());
  for (int i = 0; found && i < used; ++i) order.bind(i + 1, row.column_value(i));
  row.reset();
  if (found) order.run();
}

void ContentIndexes::Index::leave(std::int64_t rowid) {
  try {
    run_on_row(let_go, rowid);
  } catch (const SqliteError& error) {
    if (find || error.code() != SQLITE_CORRUPT_VTAB) throw;
    whole = false;  // others took rows out of it
  }
}

void ContentIndexes::Index::finish(const Follow& at_master) {
  KeyRuns anew;
  bool again = false;
  in.each([&](std::int64_t at_node) {
    if (rows.contains(at_node)) return;
    const std::int64_t rowid = at_master(content, at_node);
    anew.add(rowid, rowid);
    if (holds(rowid)) {
      again = true;
    } else {
      run_on_row(take, rowid);
    }
  });
  out.each([&](std::int64_t at_node) {
    if (rows.contains(at_node)) return;
    const std::int64_t rowid = at_master(content, at_node);
    if (holds(rowid)) run_on_row(let_go, rowid);
  });
  if (again) renew(anew);
}

// An entry that indexed all rows again wanted the index made good, not just these rows in it: what
// they were indexed by is not known then.
void ContentIndexes::Index::renew(const KeyRuns& rowids) {
  KeyRuns held_rows;
  bool every = true;
  while (every && all.step()) {
    const std::int64_t rowid = all.column_int(0);
    every = rowids.contains(rowid);
    held_rows.add(rowid, rowid);
  }
  all.reset();
  if (!every) return;
  if (!forget_all) return (void)rebuild.run();
  forget_all.run();
  held_rows.each([&](std::int64_t rowid) { run_on_row(take, rowid); });
}

}  // namespace csa
