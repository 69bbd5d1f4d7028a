#include "broker/restore_whole.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "common/changeset.h"
#include "common/limits.h"
#include "common/random.h"
#include "common/undefended.h"

namespace csa {
namespace {

using Versions = KeptConflict::Versions;

// Why it cannot be restored.
struct UnfitWhole {
  std::string why;
};

// Rows of the inbox as changes of a journal.
class Encoder {
 public:
  // By the names of schema version `now`.
  Encoder(const RestorePlace& place, std::uint64_t now, Spill& body)
      : place_(place), db_(place.db), now_(now), body_(body), virtuals_(db_) {}

  // Throws UnfitWhole.
  void add(const KeptConflict& conflict) {
    std::optional<Versions> versions = conflict.versions();
    if (!versions) throw UnfitWhole{"its rows cannot be read"};
    if (versions->base.empty() && versions->node.empty()) return;  // made and deleted again
    if (auto unfit = follow_names(db_, conflict, now_, *versions)) {
      throw UnfitWhole{std::move(*unfit)};
    }
    MergeTable& table = table_of(conflict.decided.table);
    const std::optional<RowIdentity> identity = identity_of(conflict, *versions, table);
    if (!identity) {
      throw UnfitWhole{"the key of table " + conflict.decided.table + " is another one now"};
    }
    if (is_anothers(place_, conflict, *versions, *identity, table, virtuals_)) {
      throw UnfitWhole{"the row of table " + conflict.decided.table + " with key " + conflict.key +
                       " was deleted, and its key belongs to another row now"};
    }
    const ChangeTable shape = shape_of(table, *versions);
    Bytes bytes;
    RowChange change = change_of(*versions, shape, *identity);
    change.assigned = conflict.decided.numbered;
    change.table = encoder_.table(shape, bytes);
    encoder_.append(change, bytes);
    body_.append(bytes);
  }

 private:
  MergeTable& table_of(const std::string& name) {
    const auto [known, fresh] = tables_.try_emplace(name);
    if (!fresh) return *known->second;
    const Undefended undefended(db_);  // for a shadow table's statements
    const MergeVirtual::Told* const told = virtuals_.told(name);
    std::optional<TableInfo> info = told != nullptr ? told->info : table_info(db_, name);
    if (!info) throw UnfitWhole{"table " + name + " is not there any more"};
    if (virtuals_.holds_documents(name)) {
      throw UnfitWhole{name +
                       " is inside a full-text table: write its documents anew through that"};
    }
    known->second = std::make_unique<MergeTable>(db_, std::move(*info));
    return *known->second;
  }

  // The table with the columns that it had when the rows were kept.
  static ChangeTable shape_of(const MergeTable& table, const Versions& versions) {
    ChangeTable shape = table.info().change_table;
    const auto places = places_of(versions.columns, table);
    const auto kept = [&](std::vector<std::uint32_t>& columns) {
      for (std::uint32_t& column : columns) {
        const auto place = std::ranges::find(places, std::optional<std::size_t>(column));
        if (place == places.end()) {
          throw UnfitWhole{"the key of table " + table.name() + " is another one now"};
        }
        column = static_cast<std::uint32_t>(place - places.begin());
      }
    };
    kept(shape.key_columns);
    kept(shape.declared_key);
    shape.column_count = static_cast<std::uint32_t>(versions.columns.size());
    shape.column_names = versions.columns;
    return shape;
  }

  static Row key_of(const Row& row, const ChangeTable& shape, const RowIdentity& identity) {
    Row key;
    for (const std::uint32_t column : shape.key_columns) key.push_back(row[column]);
    if (!key.empty()) return key;
    const bool by_rowid = identity.by_rowid || shape.declared_key.empty();
    return by_rowid ? identity.key : Row{std::int64_t{0}};
  }

  static std::vector<std::optional<Value>> values_of(const Row& row, const ChangeTable& shape) {
    std::vector<std::optional<Value>> values(row.begin(), row.end());
    for (const std::uint32_t column : shape.key_columns) values[column].reset();
    return values;
  }

  static RowChange change_of(const Versions& versions, const ChangeTable& shape,
                             const RowIdentity& identity) {
    RowChange change;
    const bool inserts = versions.base.empty();
    change.op = inserts ? RowOp::kInsert : versions.node.empty() ? RowOp::kDelete : RowOp::kUpdate;
    change.key = key_of(inserts ? versions.node : versions.base, shape, identity);
    if (!inserts) change.old_values = values_of(versions.base, shape);
    if (!versions.node.empty()) change.new_values = values_of(versions.node, shape);
    if (change.op == RowOp::kUpdate) {
      Row key = key_of(versions.node, shape, identity);
      if (key != change.key) change.new_key = std::move(key);
    }
    return change;
  }

  const RestorePlace& place_;  // must outlive this
  const Database& db_;
  const std::uint64_t now_;
  Spill& body_;  // must outlive this
  const MergeVirtual virtuals_;
  ChangeEncoder encoder_;
  std::map<std::string, std::unique_ptr<MergeTable>> tables_;
};

// Not a row whose declared key has a NULL: the rowid that it has got is nobody's business.
bool goes_by_number(const Database& db, const KeptConflict& conflict) {
  if (conflict.decided.numbered) return true;
  const std::optional<TableInfo> info = table_info(db, conflict.decided.table);
  return !info || info->change_table.declared_key.empty();
}

// Later entries of the journal follow to the numbers that its rows have now.
void bring_back(const Database& db, const KeptConflict& conflict,
                const std::vector<KeyChange>& keys, Merge& merge) {
  const std::optional<std::int64_t> kept = conflict.number();
  if (!kept || !goes_by_number(db, conflict)) return;
  const auto moved = std::ranges::find_if(keys, [&](const KeyChange& key) {
    return lower(key.table) == lower(conflict.decided.table) && key.before == *kept;
  });
  merge.bring_back(conflict.tx, conflict.journal, conflict.decided.table, *kept,
                   moved == keys.end() ? *kept : moved->after);
}

}  // namespace

std::variant<RestoredWhole, std::string> restore_whole(const RestorePlace& place,
                                                       const KeptConflict& conflict,
                                                       const std::string& spill_folder,
                                                       const MergeContext& context, Merge& merge) {
  const Database& db = place.db;
  RestoredWhole restored;
  Bundle bundle = bundle_of(db, conflict);
  if (!bundle.damaged.empty()) {
    const std::int64_t first = bundle.damaged.front();
    const std::int64_t last = bundle.damaged.back();
    return unreadable(first == last ? "conflict " + std::to_string(first)
                                    : std::to_string(bundle.damaged.size()) + " conflicts from " +
                                          std::to_string(first) + " to " + std::to_string(last));
  }
  restored.ids = std::move(bundle.ids);
  InboxReader inbox(db);
  Spill body(spill_folder, limits::kCaptureMemory);
  try {
    Encoder encoder(place, context.meta.schema_version, body);
    for (const std::int64_t id : restored.ids) {
      if (const auto kept = inbox.find(id)) encoder.add(*kept);
    }
  } catch (const UnfitWhole& unfit) {
    return unfit.why;
  }
  ReplayEntry entry{{}, 1, {}, body};
  entry.header.tx = {NodeId{random_id()}, 1};
  entry.header.edited = context.time;
  entry.header.size = body.size();
  std::variant<MergeOutcome, std::string> merged = merge.restore(entry, context);
  if (auto* const why = std::get_if<std::string>(&merged)) return std::move(*why);
  auto& outcome = std::get<MergeOutcome>(merged);
  restored.rows = outcome.rows;
  restored.keys = std::move(outcome.keys);
  for (const std::int64_t id : restored.ids) {
    if (const auto kept = inbox.find(id)) bring_back(db, *kept, restored.keys, merge);
    set_conflict_state(db, id, "restored");
  }
  return restored;
}

}  // namespace csa
