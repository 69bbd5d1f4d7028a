#include "broker/kept_conflict.h"

#include <algorithm>
#include <functional>

#include "broker/column_places.h"
#include "broker/journal_names.h"
#include "common/past_log.h"
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

// Rows of the transactions that were kept whole with it.
void each_of_bundle(const Database& db, const KeptConflict& conflict,
                    const std::function<void(const KeptConflict& one)>& visit,
                    const std::function<void(const KeptConflict& one)>& damaged) {
  InboxReader(db).each_of(
      conflict.tx.node, conflict.journal,
      [&](const KeptConflict& one) {
        if (one.bundle == conflict.bundle && one.is_whole()) visit(one);
        return true;
      },
      [&](const KeptConflict& one) {
        if (one.bundle == conflict.bundle) damaged(one);
        return true;
      });
}

}  // namespace

std::optional<KeptConflict> find_conflict(const Database& db, std::int64_t id) {
  return InboxReader(db).find(id);
}

std::string missing_conflict(const Database& db, std::int64_t id) {
  const std::string name = "conflict " + std::to_string(id);
  bool damaged = false;
  const auto none = [](const KeptConflict&) { return false; };
  InboxReader(db).each_from(id, none, [&](const KeptConflict& one) {
    damaged = one.id == id;
    return false;
  });
  return damaged ? unreadable(name) : "there is no " + name + "; csa-admin conflicts lists them";
}

std::string unreadable(const std::string& conflicts) {
  return conflicts +
         " cannot be read; csa_inbox and csa_inbox_later of a replica may have what is missing";
}

Bundle bundle_of(const Database& db, const KeptConflict& conflict) {
  Bundle bundle;
  const auto into = [&bundle](std::vector<std::int64_t>& ids) {
    return [&bundle, &ids](const KeptConflict& one) {
      bundle.waits = bundle.waits || one.state == "open";
      if (one.state != "restored") ids.push_back(one.id);
    };
  };
  each_of_bundle(db, conflict, into(bundle.ids), into(bundle.damaged));
  return bundle;
}

std::int64_t bundle_size(const Database& db, const KeptConflict& conflict) {
  std::int64_t size = 0;
  const auto count = [&size](const KeptConflict&) { ++size; };
  each_of_bundle(db, conflict, count, count);
  return size;
}

void set_conflict_state(const Database& db, std::int64_t id, std::string_view state) {
  Statement set = db.prepare(
      "INSERT INTO main.csa_inbox_later (id, state) VALUES (?1, ?2)"
      " ON CONFLICT (id) DO UPDATE SET state = ?2");
  set.bind(1, id).bind(2, state).run();
}

std::optional<std::string> follow_names(const Database& db, const KeptConflict& conflict,
                                        std::uint64_t now, KeptConflict::Versions& versions) {
  ColumnPlaces places(db);
  ChangeTable kept;
  kept.name = conflict.decided.table;
  kept.column_names = versions.columns;
  // Where the log does not tell any more when that was: any version that had such columns.
  LogTable log(db);
  std::optional<LogTable::Entry> entry;
  if (!LogProof(db, log).doubts(conflict.seq)) entry = readable_entry(log, conflict.seq);
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
