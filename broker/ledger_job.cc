// One job of a group: run, captured, put into the log, its outcome stored.
#include <algorithm>
#include <system_error>

#include "broker/ledger_impl.h"
#include "broker/ledger_migrate.h"
#include "broker/ledger_rules.h"
#include "common/codec.h"
#include "common/limits.h"
#include "common/planted.h"
#include "common/schema.h"

namespace csa {
namespace {

// Shorter than kTextMax, and never in the middle of a character.
std::string shortened(std::string text) {
  constexpr std::size_t kMax = 2000;
  if (text.size() <= kMax) return text;
  std::size_t end = kMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  text.resize(end);
  return text + "…";
}

// What a migration made of the rules of merging.
void tell_rules(const Log& log, const std::vector<Row>& sentences) {
  for (const Row& row : sentences) {
    log.warn("ledger: migration: " + std::get<Text>(row.at(0)).utf8);
  }
}

Ack ack_of(const TxId& tx, CallEffect effect, const Meta& after) {
  Ack ack;
  ack.tx = tx;
  ack.seq = after.position.seq;
  ack.changes = effect.changes;
  ack.last_insert_rowid = effect.last_insert_rowid;
  ack.schema_version = after.schema_version;
  ack.columns = std::move(effect.columns);
  ack.rows = std::move(effect.rows);
  return ack;
}

// Ends the sandbox's deadline with the statements that it is for.
class Running {
 public:
  Running(Sandbox& sandbox, TimePoint deadline) : sandbox_(sandbox) {
    sandbox_.set_deadline(deadline);
  }
  ~Running() { sandbox_.set_deadline(std::nullopt); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  Sandbox& sandbox_;  // must outlive this
};

}  // namespace

Nack nack_of(const TxId& tx, const Rejection& rejection) {
  return Nack{tx, rejection.code, shortened(rejection.message), rejection.statement};
}

std::optional<Answer> Ledger::Impl::known_answer(const TxId& tx, const Id128& hash) {
  if (tx.counter <= outcomes->floor(tx.node)) {
    return nack_of(tx, {NackCode::kExpired,
                        "the outcome of this write, if it had one, is forgotten; it is not run"
                        " again"});
  }
  std::optional<Outcome> known = outcomes->find(tx);
  if (planted("run a repeated write")) known.reset();
  if (!known && was_recovered(tx, hash)) {
    Ack ack;
    ack.tx = tx;
    ack.seq = meta.position.seq;
    ack.repeated = true;
    return ack;
  }
  if (!known) return std::nullopt;
  if (known->request_hash != hash) {
    return nack_of(tx, {NackCode::kMismatch,
                        "another write was sent under " + to_string(tx) +
                            " before; two programs use one replica's identity: give a copied"
                            " replica a new one with csa-node identity --new"});
  }
  if (auto* const replayed = std::get_if<Replayed>(&known->answer)) {
    // Its node has journaled it meanwhile: the effect is there, or in the inbox.
    Ack ack;
    ack.tx = tx;
    ack.seq = replayed->seq;
    ack.repeated = true;
    return ack;
  }
  return std::move(known->answer);
}

void Ledger::Impl::store_outcome(const TxId& tx, const Id128& hash, const Answer& answer) {
  if (!planted("keep no outcome")) outcomes->add({tx, hash, answer});
  crash_point("ledger: outcome written");
}

// Migrations that are there already, or that do not follow the present version.
bool Ledger::Impl::refused_early(const WriteJob& job, const GroupState& state, Answer& answer) {
  const auto* const migrate = std::get_if<Migrate>(&job.request);
  if (migrate == nullptr || !migrate->version) return false;
  const std::uint64_t present = state.meta.schema_version;
  if (*migrate->version <= present) {
    Ack ack;
    ack.tx = migrate->tx;
    ack.seq = state.meta.position.seq;
    ack.schema_version = present;
    answer = std::move(ack);
    return true;
  }
  if (*migrate->version == present + 1) return false;
  answer = nack_of(
      migrate->tx,
      {NackCode::kSql, "the migration is for schema version " + std::to_string(*migrate->version) +
                           ", but the database has "
                           "version " +
                           std::to_string(present) + "; run the migrations between first"});
  return true;
}

bool Ledger::Impl::run_job(const WriteJob& job, GroupState& state, Answer& answer) {
  if (options.begun) options.begun(job.ticket);
  if (const auto* const replay = std::get_if<Replay>(&job.request)) {
    handed_over.on_link(job.link);
    answer = run_replay(*replay, job.hostname, state);
    return true;
  }
  const TxId& tx = tx_of(job.request);
  const Id128 hash = hash_of(job.request);
  if (std::optional<Answer> known = known_answer(tx, hash)) {
    answer = std::move(*known);
    return true;
  }
  if (job.begin_by <= options.monotonic_now()) {
    answer = nack_of(tx, {NackCode::kBusy,
                          "others' transactions took the broker longer than this one was to wait, "
                          "and it was not begun; send it again"});
    return true;
  }
  if (refused_early(job, state, answer)) {
    store_outcome(tx, hash, answer);
    return true;
  }
  savepoint.run();
  capture->begin();
  const Spill* body = nullptr;
  EditTime edited{state.time};
  std::variant<CallEffect, Rejection> done = run_request(job, state, body, edited);
  if (const auto* const rejection = std::get_if<Rejection>(&done)) {
    answer = nack_of(tx, *rejection);
    guilt_lasts = rejection->lasting;
    if (!db.in_transaction()) return false;
    if (!planted("keep half of a failed write")) rollback_to.run();
    release.run();
    capture->discard();
    if (planted("acknowledge a failed write")) answer = ack_of(tx, CallEffect{}, state.meta);
    if (std::holds_alternative<Conflict>(job.request)) merge->forget();  // it may have been at work
    if (rejection->lasting) store_outcome(tx, hash, answer);
    return true;
  }
  release.run();
  CallEffect effect = std::get<CallEffect>(std::move(done));
  const bool schema = std::holds_alternative<Migrate>(job.request);
  if (body->size() > 0) {
    EntryHeader header;
    header.tx = tx;
    header.time = state.time;
    header.edited = edited.time;
    header.edited_error_ms = edited.error_ms;
    header.hostname = job.hostname;
    header.kind = schema ? EntryKind::kSchema : EntryKind::kChanges;
    header.request_hash = hash;
    header.changes = effect.changes;
    header.last_insert_rowid = effect.last_insert_rowid;
    append_entry(std::move(header), *body, state);
  }
  if (schema) tell_rules(log, effect.rows);
  answer = ack_of(tx, std::move(effect), state.meta);
  store_outcome(tx, hash, answer);
  return true;
}

// Back to the last commit, whoever ended the transaction.
void Ledger::Impl::undo() {
  guard.reset();
  if (db.in_transaction()) db.exec("ROLLBACK");
  if (planted("reuse a sequence number") && meta.position.seq.value > 0) --meta.position.seq.value;
  CSA_CHECK(!db.in_transaction());
  capture->discard();
  entries->forget_sum();
  outcomes->rolled_back();
  handed_over.rolled_back();
  edits->forget();
  merge->forget();
}

std::variant<CallEffect, Rejection> Ledger::Impl::run_conflict(const Conflict& request,
                                                               const GroupState& state,
                                                               EditTime& edited) {
  switch (request.verb) {
    case ConflictVerb::kRecover:
      return recover(request.id, state, edited);
    case ConflictVerb::kShowLost:
    case ConflictVerb::kForgetLost:
      return settle_lost(db, request, options.rows_max);
    case ConflictVerb::kRestore:
    case ConflictVerb::kRestoreRow:
      return restore(request, state);
    case ConflictVerb::kShow:
    case ConflictVerb::kDismiss:
      break;
  }
  return settle_conflict(db, request, options.rows_max);
}

std::variant<CallEffect, Rejection> Ledger::Impl::run_request(const WriteJob& job,
                                                              const GroupState& state,
                                                              const Spill*& body,
                                                              EditTime& edited) {
  const CallLimits call_limits{options.max_changes, options.rows_max};
  std::variant<CallEffect, Rejection> done;
  std::uint32_t statement = 0;
  try {
    open_work.run();
    {
      const Running running(*sandbox, options.monotonic_now() + options.statement_timeout);
      if (const auto* const write = std::get_if<Write>(&job.request)) {
        done = CallRunner(db, *sandbox, *capture, call_limits).run(*write);
      } else if (const auto* const rules = std::get_if<Rules>(&job.request)) {
        done = set_rules(db, *rules);
      } else if (const auto* const conflict = std::get_if<Conflict>(&job.request)) {
        done = run_conflict(*conflict, state, edited);
      } else {
        Migration migration(db, *sandbox, *capture, call_limits);
        done = migration.run(std::get<Migrate>(job.request));
        renames = migration.renames();
      }
    }
    if (std::holds_alternative<Rejection>(done)) return done;
    settle_brought(tx_of(job.request), hash_of(job.request));
    if (std::optional<Rejection> late = end_request(body, statement)) return std::move(*late);
  } catch (const SqliteError& error) {
    return rejection_of(error, statement);
  } catch (const std::system_error& error) {
    return rejection_of(error, statement);
  }
  merge->written_by_others(*body);
  return done;
}

std::optional<Rejection> Ledger::Impl::end_request(const Spill*& body, std::uint32_t statement) {
  int deferred = 0;
  int unused = 0;
  // It would fail the COMMIT, and the whole group with it.
  sqlite3_db_status(db.handle(), SQLITE_DBSTATUS_DEFERRED_FKS, &deferred, &unused, 0);
  if (deferred != 0) {
    return Rejection{NackCode::kConstraint,
                     "the write breaks a rule of the schema and was undone: FOREIGN KEY constraint"
                     " failed (a deferred one, still open at the end of the write)",
                     statement, true};
  }
  close_work.run();
  // Full-text tables write their index at a savepoint at the latest: before the changeset ends.
  open_flush.run();
  body = &capture->finish();
  close_flush.run();
  return capture_rejection(*capture, {options.max_changes, options.rows_max}, statement);
}

void Ledger::Impl::append_entry(EntryHeader header, const Spill& body, GroupState& state) {
  Meta& now = state.meta;
  header.seq = now.position.seq.next();
  header.schema_version = now.schema_version;
  header.confirmed = outcomes->floor(header.tx.node);
  header.size = body.size();
  LogPiece piece;
  ChainHasher chain(now.position.chain, header);
  for (std::uint64_t at = 0; at < header.size; at += limits::kPieceMax) {
    chain.update(body.read(at, limits::kPieceMax));
  }
  piece.header = std::move(header);
  piece.chain = chain.digest();
  while (piece.offset < piece.header.size) {
    piece.bytes = body.read(piece.offset, limits::kPieceMax);
    CSA_CHECK(!piece.bytes.empty());
    entries->append(piece);
    ++state.parts;
    if (piece.bytes.size() == piece.header.size) break;
    piece.offset += piece.bytes.size();
  }
  now.position.seq = piece.header.seq;
  now.position.chain = piece.chain;
  if (piece.header.kind == EntryKind::kSchema) {
    ++now.schema_version;
    now.fingerprint = schema_fingerprint(db);
    write_layout(db, now.schema_version, to_json(read_layout(db, renames)));
  }
  piece.offset = 0;
  const bool whole = piece.header.size <= limits::kInlineBodyMax &&
                     state.inline_bytes + piece.header.size <= limits::kUpdateMax;
  if (!whole) piece.bytes.clear();
  state.inline_bytes += piece.bytes.size();
  state.pieces.push_back(std::move(piece));
}

}  // namespace csa
