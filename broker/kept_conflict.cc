#include "broker/kept_conflict.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "broker/column_places.h"
#include "broker/journal_names.h"
#include "broker/merge_inbox.h"
#include "common/store_meta.h"

namespace csa {
namespace {

// What of `version` is known by the table's columns.
Row placed(const Row& version, const std::vector<std::optional<std::size_t>>& places,
           std::size_t columns) {
  Row row(columns, Null{});
  for (std::size_t i = 0; i < version.size() && i < places.size(); ++i) {
    if (places[i]) row[*places[i]] = version[i];
  }
  return row;
}

Statement of_bundle(const Database& db, const KeptConflict& conflict, const std::string& what,
                    const std::string& more) {
  Statement rows = db.prepare("SELECT " + what +
                              " FROM main.csa_conflicts WHERE node = ?1 AND journal = ?2 AND bundle"
                              " = ?3 AND (decision = 'parked' OR rule = 'atomic') " +
                              more);
  rows.bind_blob(1, conflict.tx.node.value.bytes);
  rows.bind(2, static_cast<std::int64_t>(conflict.journal));
  rows.bind(3, static_cast<std::int64_t>(conflict.bundle));
  return rows;
}

}  // namespace

bool KeptConflict::is_whole() const { return decision == "parked" || rule == kAtomicRule; }

std::optional<KeptConflict::Versions> KeptConflict::versions() const {
  std::optional<RowSet> set = read_versions(stored);
  if (!set) return std::nullopt;
  for (const Row& row : set->rows) {
    if (!row.empty() && row.size() != set->columns.size()) return std::nullopt;
  }
  return Versions{std::move(set->columns), std::move(set->rows[0]), std::move(set->rows[1]),
                  std::move(set->rows[2])};
}

std::optional<std::int64_t> KeptConflict::number() const {
  const auto json = nlohmann::json::parse(key, nullptr, false);
  if (!json.is_object() || json.size() != 1 || !json.begin()->is_number_integer()) return {};
  return json.begin()->get<std::int64_t>();
}

std::optional<KeptConflict> find_conflict(const Database& db, std::int64_t id) {
  Statement row = db.prepare(
      "SELECT seq, node, counter, journal, bundle, numbered, table_name, key, rule, decision,"
      " state, key_hash, rows, base, broker, node_row FROM main.csa_conflicts WHERE id = ?1");
  row.bind(1, id);
  if (!row.step()) return std::nullopt;
  KeptConflict found;
  found.id = id;
  const auto number = [&row](int column) {
    return static_cast<std::uint64_t>(row.column_int(column));
  };
  found.seq = Seq{number(0)};
  const Bytes node = row.column_blob(1);
  std::copy_n(node.begin(), std::min(node.size(), found.tx.node.value.bytes.size()),
              found.tx.node.value.bytes.begin());
  found.tx.counter = number(2);
  found.journal = number(3);
  found.bundle = number(4);
  found.numbered = row.column_int(5) != 0;
  found.table = row.column_text(6);
  found.key = row.column_text(7);
  found.rule = row.column_text(8);
  found.decision = row.column_text(9);
  found.state = row.column_text(10);
  found.hash = row.column_blob(11);
  found.stored = stored_versions(row, 12);
  return found;
}

std::vector<std::int64_t> bundle_of(const Database& db, const KeptConflict& conflict) {
  Statement rows = of_bundle(db, conflict, "id", "AND state <> 'restored' ORDER BY id");
  std::vector<std::int64_t> ids;
  while (rows.step()) ids.push_back(rows.column_int(0));
  return ids;
}

std::int64_t bundle_size(const Database& db, const KeptConflict& conflict) {
  Statement count = of_bundle(db, conflict, "count(*)", "");
  return count.step() ? count.column_int(0) : 0;
}

void set_conflict_state(const Database& db, std::int64_t id, std::string_view state) {
  Statement set = db.prepare("UPDATE main.csa_conflicts SET state = ?2 WHERE id = ?1");
  set.bind(1, id).bind(2, state).run();
}

std::optional<std::string> follow_names(const Database& db, const KeptConflict& conflict,
                                        std::uint64_t now, KeptConflict::Versions& versions) {
  ColumnPlaces places(db);
  ChangeTable kept;
  kept.name = conflict.table;
  kept.column_names = versions.columns;
  // Where the log does not tell any more when that was: any version that had such columns.
  const std::optional<LogTable::Entry> entry = LogTable(db).entry(conflict.seq);
  const std::uint64_t last = entry ? entry->header.schema_version : now;
  std::optional<ChangeTable> found;
  for (std::uint64_t then = entry ? last : 1; then <= last; ++then) {
    JournalNames names(places, then, now);
    if (!names.knows(kept)) continue;
    ChangeTable present = names.present({kept}).front();
    if (present.name != kept.name) return "another table has got the name " + kept.name + " since";
    if (found && found->column_names != present.column_names) {
      return "columns of table " + kept.name +
             " have got names of others since, and the log does not tell any more whether before"
             " or after it was kept";
    }
    found = std::move(present);
  }
  if (found) versions.columns = std::move(found->column_names);
  return std::nullopt;
}

std::vector<std::optional<std::size_t>> places_of(const std::vector<std::string>& columns,
                                                  const MergeTable& table) {
  const std::vector<std::string>& names = table.column_names();
  std::vector<std::optional<std::size_t>> places;
  for (const std::string& column : columns) {
    const auto place = std::ranges::find_if(
        names, [&](const std::string& name) { return lower(name) == lower(column); });
    places.push_back(place == names.end()
                         ? std::nullopt
                         : std::optional(static_cast<std::size_t>(place - names.begin())));
  }
  return places;
}

std::optional<RowIdentity> identity_of(const KeptConflict& conflict,
                                       const KeptConflict::Versions& versions,
                                       const MergeTable& table) {
  const ChangeTable& keys = table.info().change_table;
  const auto& columns = keys.declared_key.empty() ? keys.key_columns : keys.declared_key;
  const auto fits = [&conflict](const RowIdentity& row) {
    return std::ranges::equal(hash_of(row).bytes, conflict.hash);
  };
  const auto places = places_of(versions.columns, table);
  for (const Row* const version : {&versions.base, &versions.broker, &versions.node}) {
    if (version->empty() || columns.empty()) continue;
    const RowIdentity identity =
        table.identity(placed(*version, places, table.column_names().size()), {});
    if (fits(identity)) return identity;
  }
  const std::optional<std::int64_t> number = conflict.number();
  if (!number) return std::nullopt;
  for (const bool by_rowid : {false, true}) {
    RowIdentity identity{keys.name, {*number}, by_rowid};
    if (fits(identity)) return identity;
  }
  return std::nullopt;
}

}  // namespace csa
