#include "node/known_outcome.h"

#include <utility>

#include "common/journal.h"
#include "common/sqlite.h"
#include "common/store_meta.h"
#include "node/read_only.h"
#include "node/results.h"

namespace csa {
namespace {

// What a transaction of the journal came to at the master.
std::optional<WriteResult> find_decided(const Database& db, const TxId& tx) {
  std::optional<JournalOutcome> found = Journal(db).find_outcome(tx.counter);
  if (!found) return std::nullopt;
  WriteResult result;
  result.outcome = std::move(found->result);
  result.seq = found->seq.value;
  result.message = std::move(found->text);
  result.keys = to_client(found->keys);
  const bool offered = result.outcome == to_string(ReplayResult::kOffered);
  const bool has_effect = !offered && result.outcome != to_string(ReplayResult::kSuperseded) &&
                          result.outcome != to_string(ReplayResult::kParked);
  result.status = has_effect ? WriteResult::Status::kCommitted : WriteResult::Status::kRejected;
  if (!has_effect) result.code = offered ? "lost" : "conflict";
  return result;
}

std::optional<WriteResult> find_waiting(const Database& db, const TxId& tx) {
  const Journal journal(db);
  const Result<std::optional<JournalHeader>> entry = journal.find(tx.counter);
  if (!entry || !*entry) return std::nullopt;
  WriteResult result;
  result.status = WriteResult::Status::kJournaled;
  result.changes = (*entry)->changes;
  result.last_insert_rowid = (*entry)->last_insert_rowid;
  result.pending =
      unsigned_of(db.query_int("SELECT count(*) FROM csa_journal WHERE " + std::string(kEntryWaits))
                      .value_or(0));
  return result;
}

// By an entry that the journal has, or had: it keeps its counter, and its first TxId while it is
// there, under another NodeId too. Afterwards the master's log has that TxId, at the same place as
// the outcome.
bool is_journaled(const Database& db, const NodeId& node, const TxId& tx, const Ack* logged) {
  if (tx.node == node) return true;
  const Journal journal(db);
  const Result<std::optional<JournalHeader>> entry = journal.find(tx.counter);
  if (entry && *entry) return (*entry)->origin == tx;
  const std::optional<JournalOutcome> outcome = journal.find_outcome(tx.counter);
  return outcome && logged != nullptr && outcome->seq == logged->seq;
}

std::optional<WriteResult> find(const Database& db, const NodeId& node, const TxId& tx) {
  const std::optional<Outcome> known = OutcomeTable(db).find(tx);
  const auto* const ack = known ? std::get_if<Ack>(&known->answer) : nullptr;
  if (is_journaled(db, node, tx, ack)) {
    if (std::optional<WriteResult> decided = find_decided(db, tx)) return decided;
    if (std::optional<WriteResult> waiting = find_waiting(db, tx)) return waiting;
  }
  if (ack == nullptr) return std::nullopt;
  return to_result(*ack, true);
}

}  // namespace

std::optional<WriteResult> known_outcome(const std::string& replica, const TxId& tx) {
  const Result<ReplicaGlance> glance = glance_at_replica(replica);
  if (!glance || !glance->db) return std::nullopt;
  try {
    const Database db(replica, Database::Mode::kReadOnly);
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    std::optional<WriteResult> result = find(db, glance->node, tx);
    if (result) result->tx = to_string(tx);
    return result;
  } catch (const SqliteError&) {
    return std::nullopt;  // the broker can tell
  }
}

}  // namespace csa
