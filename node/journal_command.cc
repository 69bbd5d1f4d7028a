// csa-node journal: offline changes that wait, and what became of those that were handed over.
// Reads the replica's file, so it needs neither broker nor owner.
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "common/cli.h"
#include "common/journal.h"
#include "common/named_change.h"
#include "common/terminal_text.h"
#include "common/value_json.h"
#include "common/virtual_table.h"
#include "node/commands.h"
#include "node/read_only.h"
#include "node/results.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kReadBytes = 1 << 20;

Json object_of(const NamedValues& values) {
  Json object = Json::object();
  for (const auto& [name, value] : values) object[name] = value_json(value);
  return object;
}

// One row change after the other, as a JSON array or a line each.
class Printer {
 public:
  explicit Printer(bool json) : json_(json) {
    if (json_) std::cout << '[';
  }
  void print(const Json& object, const std::string& line) {
    if (json_) {
      std::cout << (any_ ? ",\n " : "") << to_line(object);
    } else {
      std::cout << printable(line) << '\n';
    }
    any_ = true;
  }
  void finish() {
    if (json_) std::cout << ']';
    if (json_ || any_) std::cout << std::endl;
  }
  [[nodiscard]] bool any() const { return any_; }

 private:
  bool json_;
  bool any_ = false;
};

// Tables that a virtual table keeps its rows in: what an application did shows in the ones that
// hold its rows, under the name that it knows; the rest follows from them.
class Shadows {
 public:
  explicit Shadows(const Database& db) {
    Statement rows =
        db.prepare("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow'");
    while (rows.step()) names_.insert(rows.column_text(0));
  }
  // Nothing: not to be shown.
  [[nodiscard]] std::optional<std::string> shown_name(const std::string& table) const {
    if (!names_.contains(table)) return table;
    for (const std::string_view ending : {"_content", "_rowid"}) {
      if (table.ends_with(ending)) return table.substr(0, table.size() - ending.size());
    }
    return std::nullopt;
  }

 private:
  std::set<std::string> names_;
};

void print_change(const JournalHeader& header, const NamedChange& change, Printer& printer) {
  Json object = {{"tx", to_string(header.tx)},
                 {"time", to_string(header.edited)},
                 {"table", change.table},
                 {"op", change.op},
                 {"key", object_of(change.key)}};
  std::string line = to_string(header.edited) + "  " + change.table + "  " + change.op;
  if (header.is_lost()) {
    object["offered"] = to_string(header.lost);
    line += " (offered to the master, which has lost it)";
  }
  for (const auto& [name, value] : change.key) line += "  " + name + "=" + people_text(value);
  if (change.op != "insert") object["old"] = object_of(change.before);
  if (change.op != "delete") object["new"] = object_of(change.after);
  if (change.op == "update") {
    for (std::size_t i = 0; i < change.after.size() && i < change.before.size(); ++i) {
      line += "  " + change.after[i].first + ": " + people_text(change.before[i].second) + " → " +
              people_text(change.after[i].second);
    }
  } else {
    for (const auto& [name, value] : change.op == "insert" ? change.after : change.before) {
      line += "  " + name + "=" + people_text(value);
    }
  }
  printer.print(object, line);
}

// What is damaged is left out and told at the end.
Status print_entries(const Database& db, Printer& printer) {
  const Journal journal(db);
  const Shadows shadows(db);
  std::uint64_t after = 0;
  std::uint64_t offset = 0;
  std::size_t bytes = kReadBytes;
  ChangeReader reader;
  Status damage = Ok{};
  while (true) {
    Result<std::vector<Replay>> read = journal.read(after, offset, bytes);
    if (!read && std::exchange(bytes, 1) != 1) continue;  // which of them?
    if (!read) {
      if (damage) damage = read.error();
      read = journal.read(after, offset, bytes, true);  // one is missing, this one is there
    }
    if (!read) {
      Statement next = db.prepare("SELECT min(entry) FROM csa_journal WHERE entry > ?1 AND " +
                                  std::string(kEntryWaits));
      next.bind(1, static_cast<std::int64_t>(after));
      if (!next.step() || next.column_is_null(0)) return damage;
      after = static_cast<std::uint64_t>(next.column_int(0));
      offset = 0;
      continue;
    }
    if (read->empty()) return damage;
    for (const Replay& part : *read) {
      if (part.offset == 0) reader = ChangeReader();
      reader.feed(part.bytes);
      while (true) {
        Result<std::optional<Change>> change = reader.next();
        if (!change) return change.error();
        if (!*change) break;
        const auto* const row = std::get_if<RowChange>(&**change);
        if (row == nullptr) continue;
        const ChangeTable& table = reader.tables().at(row->table);
        NamedChange named = name_change(*row, document_table(table).value_or(table), nullptr);
        const std::optional<std::string> name = shadows.shown_name(named.table);
        if (!name) continue;
        named.table = *name;
        print_change(part.header, named, printer);
      }
      offset = part.completes() ? 0 : part.offset + part.bytes.size();
      if (part.completes()) after = part.header.tx.counter;
    }
  }
}

void print_outcomes(const Database& db, const NodeId& node, Printer& printer) {
  for (const JournalOutcome& one : Journal(db).read_outcomes()) {
    const TxId tx{node, one.counter};
    const std::string time = to_string(one.edited);
    const std::vector<ChangedKey> keys = to_client(one.keys);
    const Json object = {{"tx", to_string(tx)},  {"time", time},       {"outcome", one.result},
                         {"seq", one.seq.value}, {"reason", one.text}, {"keys", keys_json(keys)}};
    std::string line = time + "  " + to_string(tx) + "  " + one.result;
    if (!one.text.empty()) line += ": " + one.text;
    if (!keys.empty()) line += "; " + keys_sentence(keys);
    printer.print(object, line);
  }
}

// Whether anything can be read of it.
bool waits(const Database& db) try {
  return db.query_int("SELECT EXISTS (SELECT 1 FROM csa_journal WHERE " + std::string(kEntryWaits) +
                      ")") == 1;
} catch (const SqliteError&) {
  return false;
}

}  // namespace

int journal_command(const NodeOptions& options) {
  const std::string& path = options.client.replica;
  // Where the rest is refused, the journal is what counts: others have the outcomes.
  const Result<NodeId> node = node_of_replica(path);
  const bool refused =
      !node && (node.error().code == Errc::kDamaged || node.error().code == Errc::kRefused);
  if (!node && (!refused || options.outcomes)) return report_error("csa-node", node.error());
  const Database db(path, Database::Mode::kReadOnly);
  sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  if (refused && !waits(db)) return report_error("csa-node", node.error());
  Printer printer(options.json);
  if (options.outcomes) {
    print_outcomes(db, *node, printer);
    printer.finish();
    return 0;
  }
  const Status done = print_entries(db, printer);
  printer.finish();
  if (!done) return report({7, done.error().what});
  if (refused) {
    std::cerr << "csa-node: " << node.error().what << std::endl;
  } else if (!printer.any()) {
    std::cerr << "csa-node: nothing waits: everything is handed over" << std::endl;
  }
  return 0;
}

}  // namespace csa
