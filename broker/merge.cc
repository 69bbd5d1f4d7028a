#include "broker/merge.h"

#include <algorithm>
#include <utility>

#include "broker/merge_run.h"
#include "broker/merge_stood.h"
#include "common/limits.h"
#include "common/past_log.h"

namespace csa {
MergeSchema::MergeSchema(const Database& db)
    : db_(db), virtuals_(db), indexes_(db), renamed_(db), history_(db), places_(db), proof_(db) {}

MergeTable* MergeSchema::table(const std::string& name) {
  const auto [known, fresh] = tables_.try_emplace(lower(name));
  if (!fresh) return known->second.get();
  if (table_class(name) != TableClass::kApplication) return nullptr;
  const MergeVirtual::Told* const told = virtuals_.told(name);
  std::optional<TableInfo> info = told != nullptr ? told->info : table_info(db_, name);
  if (!info || (!info->change_table.without_rowid && info->rowid_name.empty())) return nullptr;
  known->second = std::make_unique<MergeTable>(db_, std::move(*info));
  return known->second.get();
}

const MergeSchema::Rules& MergeSchema::rules(const MergeTable& table) {
  const auto [known, fresh] = rules_.try_emplace(table.name());
  Rules& rules = known->second;
  if (!fresh) return rules;
  const std::vector<std::string>& names = table.column_names();
  rules.row.columns.assign(names.size(), ColumnRule::kTable);
  Statement rows =
      db_.prepare("SELECT column_name, rule FROM csa_rule WHERE table_name = ?1 COLLATE NOCASE");
  rows.bind(1, table.name());
  while (rows.step()) {
    const std::string column = lower(rows.column_text(0));
    const std::string rule = rows.column_text(1);
    if (column.empty() && rule == kAtomicRule) rules.atomic = true;
    if (column.empty()) rules.row.table = parse_table_rule(rule).value_or(rules.row.table);
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (lower(names[i]) != column) continue;
      rules.row.columns[i] = parse_column_rule(rule).value_or(ColumnRule::kTable);
    }
  }
  return rules;
}

struct Merge::Impl {
  Impl(const Database& database, Capture& captured, EditIndex& edit_index)
      : db(database),
        capture(captured),
        edits(edit_index),
        schema(std::make_unique<MergeSchema>(database)),
        keys(std::make_unique<KeyChanges>(database)),
        inbox(database),
        open(database.prepare("SAVEPOINT m")),
        undo(database.prepare("ROLLBACK TO m")),
        close(database.prepare("RELEASE m")),
        ask_version(database.prepare("PRAGMA main.schema_version")) {}

  [[nodiscard]] MergeRun attempt(const ReplayEntry& entry, const MergeContext& context) {
    inbox.begin();
    return {db, capture, edits, *schema, *keys, inbox, entry, context};
  }
  void forget() {
    schema = std::make_unique<MergeSchema>(db);
    keys->forget_schema();
    schema_version = -1;
  }
  void notice_schema() {
    const std::int64_t version = ask_version.step() ? ask_version.column_int(0) : 0;
    ask_version.reset();
    if (version != schema_version) forget();
    schema_version = version;
  }
  // Throws what MergeRun::apply() throws.
  [[nodiscard]] MergeOutcome merged(const ReplayEntry& entry, const MergeContext& context,
                                    const std::function<void()>& before) {
    try {
      return attempt(entry, context).apply();
    } catch (const MergeRun::Parked& parked) {
      if (!parked.exchanged) throw;
    }
    take_back();
    before();
    schema->renamed().forget();
    MergeRun literal = attempt(entry, context);
    literal.take_literally();
    return literal.apply();
  }
  // What the attempt has made is gone, from the changeset too.
  void take_back() {
    undo.run();
    schema->indexes().take_back();
    capture.discard();
    capture.begin();
  }

  const Database& db;
  Capture& capture;
  EditIndex& edits;
  std::unique_ptr<MergeSchema> schema;
  std::unique_ptr<KeyChanges> keys;
  Inbox inbox;
  Statement open, undo, close, ask_version;
  std::int64_t schema_version = -1;
};

Merge::Merge(const Database& db, Capture& capture, EditIndex& edits)
    : impl_(std::make_unique<Impl>(db, capture, edits)) {}
Merge::~Merge() = default;

MergeOutcome Merge::run(const ReplayEntry& entry, const MergeContext& context,
                        const std::function<void()>& before) {
  Impl& impl = *impl_;
  impl.notice_schema();
  impl.schema->forget_rules();
  const auto keep_aside = [&](const std::string& rule, const std::string& decision,
                              const std::string& reason) {
    impl.take_back();
    before();
    impl.keys->begin(entry.header.tx, entry.first);
    impl.attempt(entry, context).keep_aside(rule, decision, reason);
  };
  impl.open.run();
  MergeOutcome outcome;
  try {
    before();
    outcome = impl.merged(entry, context, before);
  } catch (const MergeRun::Parked& parked) {
    outcome = {ReplayResult::kParked, parked.reason, {}, 0};
    keep_aside("parked", "parked", parked.reason);
  } catch (const MergeRun::LostWhole& lost) {
    const std::string reason = "all or nothing: " + lost.reason;
    outcome = {ReplayResult::kSuperseded, reason, {}, 0};
    keep_aside(std::string(kAtomicRule), "broker", reason);
  }
  impl.close.run();
  return outcome;
}

MergeOutcome Merge::park(const ReplayEntry& entry, const MergeContext& context,
                         const std::string& reason) {
  Impl& impl = *impl_;
  impl.keys->begin(entry.header.tx, entry.first);
  impl.attempt(entry, context).keep_aside("parked", "parked", reason);
  return {ReplayResult::kParked, reason, {}, 0};
}

std::variant<MergeOutcome, std::string> Merge::restore(const ReplayEntry& entry,
                                                       MergeContext context) {
  Impl& impl = *impl_;
  impl.notice_schema();
  impl.schema->forget_rules();
  context.restoring = true;
  impl.open.run();
  std::variant<MergeOutcome, std::string> done;
  try {
    MergeOutcome outcome = impl.attempt(entry, context).apply();
    // Nobody will ask for its numbers again.
    impl.keys->begin(entry.header.tx, entry.first + 1);
    done = std::move(outcome);
  } catch (const MergeRun::Parked& unfit) {
    impl.take_back();
    done = unfit.reason;
  }
  impl.close.run();
  return done;
}

void Merge::bring_back(const TxId& tx, std::uint64_t journal, const std::string& table,
                       std::int64_t kept, std::int64_t now) {
  impl_->keys->bring_back(tx, journal, table, kept, now);
}

MergeOutcome Merge::stood(const ReplayEntry& entry, LogTable& log, Seq seq) {
  Impl& impl = *impl_;
  impl.notice_schema();
  impl.keys->begin(entry.header.tx, entry.first);
  const Seq there = LogProof(impl.db, log).doubts(seq) ? Seq{} : seq;
  StoodKeys(*impl.schema, *impl.keys).pair(entry, log, there);
  return {ReplayResult::kStood, {}, impl.keys->take_changes(), 0};
}

MergeOutcome Merge::stands(const ReplayEntry& entry, LogTable& log, const Replayed& outcome) {
  Impl& impl = *impl_;
  impl.notice_schema();
  impl.keys->begin(entry.header.tx, entry.first);
  Replayed known = outcome;
  if (LogProof(impl.db, log).doubts(known.seq)) known.seq = Seq{};
  StoodKeys(*impl.schema, *impl.keys).take_over(entry, log, known);
  for (KeyChange& change : impl.keys->take_changes()) {
    if (known.keys.size() < limits::kKeyChangesMax) known.keys.push_back(std::move(change));
  }
  return {known.result, std::move(known.text), std::move(known.keys), 0};
}

bool Merge::knows(const Earlier& earlier, LogTable& log) {
  LogProof proof(impl_->db, log);
  return !earlier.untold &&
         std::ranges::none_of(earlier.logged, [&proof](Seq seq) { return proof.doubts(seq); });
}

void Merge::recall(const ReplayEntry& entry, LogTable& log, const Earlier& earlier) {
  Impl& impl = *impl_;
  impl.notice_schema();
  impl.keys->begin(entry.header.tx, entry.first);
  for (const auto& [counter, key] : earlier.told) {
    impl.keys->recall(key.table, key.before, {key.after, signed_of(counter), false});
  }
  StoodKeys stood(*impl.schema, *impl.keys);
  for (const Seq seq : earlier.logged) {
    stood.recall(log, seq, earlier.first, entry.first, earlier.schema_version);
  }
}

void Merge::written_by_others(const Spill& changeset) {
  impl_->schema->indexes().written_by_others(changeset);
}

void Merge::forget() { impl_->forget(); }

}  // namespace csa
