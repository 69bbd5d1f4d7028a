// The inbox's part of ledger_rules.h.
#include <array>

#include "broker/ledger_rules.h"
#include "common/undefended.h"

namespace csa {
namespace {

using Done = std::variant<CallEffect, Rejection>;

constexpr std::array kShown = {"id",        "seq",   "time",   "node",     "hostname",
                               "table",     "key",   "op",     "rule",     "decision",
                               "reason",    "base",  "broker", "node_row", "broker_time",
                               "node_time", "close", "state",  "counter",  "bundle"};
constexpr std::size_t kWideFrom = 11;  // base, broker, node_row
constexpr std::size_t kWideTo = 13;

constexpr std::size_t kToldMax = 1000;

Rejection unsettled(std::string why) { return {NackCode::kSql, std::move(why), 0, true}; }

std::string conflict_name(std::int64_t id) { return "conflict " + std::to_string(id); }

std::size_t size_of(const Value& value) {
  const auto* const text = std::get_if<Text>(&value);
  return 9 + (text == nullptr ? 16 : text->utf8.size());
}

std::size_t size_of(const Row& row) {
  std::size_t size = 0;
  for (const Value& value : row) size += size_of(value);
  return size;
}

Row shown(const KeptConflict& kept) {
  const InboxDecision& decided = kept.decided;
  const auto told = [](const std::optional<std::string>& text) {
    return text ? Value(Text{*text}) : Value(Null{});
  };
  const Bytes node(kept.tx.node.value.bytes.begin(), kept.tx.node.value.bytes.end());
  return {kept.id,
          signed_of(kept.seq.value),
          Text{kept.time},
          node,
          Text{kept.hostname},
          Text{decided.table},
          Text{kept.key},
          Text{decided.op},
          Text{decided.rule},
          Text{decided.decision},
          Text{decided.reason},
          told(kept.stored.texts[0]),
          told(kept.stored.texts[1]),
          told(kept.stored.texts[2]),
          told(decided.broker_time),
          Text{kept.node_time},
          std::int64_t{decided.close ? 1 : 0},
          Text{kept.state},
          signed_of(kept.tx.counter),
          signed_of(kept.bundle)};
}

CallEffect show_inbox(const Database& db, std::int64_t from, std::size_t rows_max) {
  CallEffect effect;
  effect.columns.assign(kShown.begin(), kShown.end());
  std::size_t bytes = 0;
  const auto take = [&](const KeptConflict& kept) {
    Row row = shown(kept);
    // A row too large for any answer is shown without its values: they are in every replica.
    if (size_of(row) > rows_max / 2) {
      for (std::size_t i = kWideFrom; i <= kWideTo; ++i) row[i] = Null{};
    }
    bytes += size_of(row);
    if (bytes > rows_max / 2 && !effect.rows.empty()) return false;
    effect.rows.push_back(std::move(row));
    return true;
  };
  InboxReader(db).each_from(from, take, [&](KeptConflict& kept) {
    kept.key = "{}";
    kept.decided.decision = "unreadable";
    kept.decided.reason = unreadable(conflict_name(kept.id));
    return take(kept);
  });
  return effect;
}

Rejection unfit(const std::string& name, const std::string& why) {
  return unsettled(name + " cannot be restored: " + why);
}

// One row of [id] each that was restored, one of [nil, table, before, after] each that got another
// number.
CallEffect told(const RestoredWhole& restored) {
  CallEffect effect;
  effect.changes = restored.rows;
  effect.columns = {"id", "table", "before", "after"};
  for (const std::int64_t id : restored.ids) effect.rows.push_back({id, Null{}, Null{}, Null{}});
  for (const KeyChange& key : restored.keys) {
    effect.rows.push_back({Null{}, Text{key.table}, key.before, key.after});
  }
  if (effect.rows.size() > kToldMax) effect.rows.resize(kToldMax);
  return effect;
}

Done restore_alone(const RestorePlace& place, const KeptConflict& kept, const std::string& name) {
  const Database& db = place.db;
  const MergeVirtual virtuals(db);
  const MergeVirtual::Told* const known = virtuals.told(kept.decided.table);
  std::optional<TableInfo> info =
      known != nullptr ? known->info : table_info(db, kept.decided.table);
  if (!info) return unfit(name, "table " + kept.decided.table + " is not there any more");
  std::optional<Undefended> undefended(std::in_place, db);  // for a shadow table's statements
  MergeTable table(db, std::move(*info));
  undefended.reset();
  if (table.is_shadow()) {
    return unsettled(name + " is inside the virtual table of " + kept.decided.table +
                     ": write it anew through that table");
  }
  std::variant<std::int64_t, std::string> done;
  try {
    done = restore_row(place, kept, table, virtuals);
  } catch (const SqliteError& error) {
    if (error.primary_code() != SQLITE_CONSTRAINT) throw;
    // Not by which statement of ours.
    throw SqliteError(error.code(),
                      name + " cannot be restored: " + std::string(sqlite3_errmsg(db.handle())));
  }
  if (const auto* const why = std::get_if<std::string>(&done)) return unfit(name, *why);
  set_conflict_state(db, kept.id, "restored");
  return told({{kept.id}, std::get<std::int64_t>(done), {}});
}

}  // namespace

bool restores_whole(const Database& db, const Conflict& request) {
  if (request.verb != ConflictVerb::kRestore) return false;
  const std::optional<KeptConflict> kept = find_conflict(db, request.id);
  return kept && kept->is_whole();
}

Done settle_conflict(const Database& db, const Conflict& request, std::size_t rows_max) {
  if (request.verb == ConflictVerb::kShow) return show_inbox(db, request.id, rows_max);
  const std::optional<KeptConflict> kept = find_conflict(db, request.id);
  if (!kept) return unsettled(missing_conflict(db, request.id));
  if (kept->state == "restored")
    return unsettled(conflict_name(request.id) + " was restored already");
  if (kept->state != "dismissed") set_conflict_state(db, request.id, "dismissed");
  return CallEffect{};
}

Done restore_conflict(const RestorePlace& place, const Conflict& request,
                      const WholeRestore& whole) {
  const std::string name = conflict_name(request.id);
  const std::optional<KeptConflict> kept = find_conflict(place.db, request.id);
  if (!kept) return unsettled(missing_conflict(place.db, request.id));
  const bool all = kept->is_whole() && request.verb == ConflictVerb::kRestore;
  if (kept->state == "restored") {
    const Bundle rest = all ? bundle_of(place.db, *kept) : Bundle{};
    if (!rest.waits) {
      // With the others of its transaction: whoever goes through the list is not stopped there.
      if (all && bundle_size(place.db, *kept) > 1) return CallEffect{};
      return unsettled(name + " was restored already");
    }
  }
  if (kept->decided.decision == "remapped" || kept->decided.decision == "merged") {
    return unsettled(name + " lost nothing that could be restored; dismiss it");
  }
  if (!all) return restore_alone(place, *kept, name);
  std::variant<RestoredWhole, std::string> done = whole(*kept);
  if (const auto* const why = std::get_if<std::string>(&done)) {
    const bool many = bundle_size(place.db, *kept) > 1;
    return unfit(name,
                 *why + (many ? "; it is one of several rows of a transaction, which come back"
                                " together: mend that, or restore single ones with --row"
                              : ""));
  }
  return told(std::get<RestoredWhole>(done));
}

}  // namespace csa
