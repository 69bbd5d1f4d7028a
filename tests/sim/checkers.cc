#include "tests/sim/checkers.h"

#include <algorithm>

#include "common/past_log.h"
#include "common/sqlite.h"
#include "common/store_meta.h"
#include "tests/support/compare.h"

namespace csa::sim {
namespace {

std::set<std::string> tags_of(Statement& rows) {
  std::set<std::string> tags;
  while (rows.step()) tags.insert(rows.column_text(0));
  rows.reset();
  return tags;
}

std::set<std::string> tags_in(const Database& db) {
  Statement rows = db.prepare("SELECT name FROM tag");
  return tags_of(rows);
}

// As what has lost, or as what others had.
constexpr const char* kInInbox =
    "SELECT 1 FROM csa_conflicts WHERE table_name = 'tag'"
    " AND (instr(node_row, ?1) > 0 OR instr(broker, ?1) > 0)";

bool is_kept(Statement& inbox, const std::string& tag) {
  inbox.bind(1, "\"" + tag + "\"");
  const bool kept = inbox.step();
  inbox.reset();
  return kept;
}

// A text is its length and its bytes.
std::string as_in_changes(const std::string& tag) {
  return std::string(1, static_cast<char>(tag.size())) + tag;
}

// What was lost before a change of the schema is in a kept file only, and nobody offers it.
std::int64_t after_last_schema(const Database& db, std::int64_t from) {
  LogTable log(db);
  const Result<Meta> meta = read_meta(db);
  if (!meta) return from;
  for (Seq seq = meta->position.seq; static_cast<std::int64_t>(seq.value) > from; --seq.value) {
    const auto entry = readable_entry(log, seq);
    if (entry && entry->header.kind != EntryKind::kChanges) {
      return static_cast<std::int64_t>(seq.next().value);
    }
  }
  return from;
}

std::set<TxId> logged_in(const Database& db) {
  std::set<TxId> there;
  LogTable log(db);
  const Result<Meta> meta = read_meta(db);
  if (!meta) return there;
  for (Seq seq{1}; seq <= meta->position.seq; seq = seq.next()) {
    if (const auto entry = readable_entry(log, seq)) there.insert(entry->header.tx);
  }
  return there;
}

}  // namespace

void Checkers::in_history_of(const Position& position) {
  if (epoch_ == position.epoch) return;
  if (epoch_ != Epoch{} && !std::exchange(expects_history_, false)) {
    throw Violation("the master began a new history at " + to_string(position) +
                    ", and nobody had touched its file");
  }
  epoch_ = position.epoch;
}

void Checkers::master_at(const Position& position, const std::vector<LogPiece>& pieces) {
  const auto remember = [this, &position](Seq seq, const Chain& chain) {
    const auto [known, added] =
        chains_.emplace(Key{position.epoch.generation, position.epoch.id, seq.value}, chain);
    if (!added && known->second != chain) {
      throw Violation("the master used seq " + std::to_string(seq.value) + " twice");
    }
  };
  in_history_of(position);
  for (const LogPiece& piece : pieces) remember(piece.header.seq, piece.chain);
  remember(position.seq, position.chain);
  const Key key{position.epoch.generation, position.epoch.id, position.seq.value};
  const std::string content = contents_now_.of(master_);
  const auto [known, added] = contents_.emplace(key, content);
  if (!added && known->second != content) {
    throw Violation("the master had other content at " + to_string(position) + " before");
  }
  whole();
}

// No write was torn: transfers leave the sum as it is, twins are two.
void Checkers::whole() {
  Statement& sum = contents_now_.question(master_, "SELECT sum(balance) FROM account");
  const bool holds = sum.step() && sum.column_int(0) == 3000;
  sum.reset();
  if (!holds) throw Violation("a transfer was torn: the accounts' sum is not 3000");
  Statement& half =
      contents_now_.question(master_, "SELECT 1 FROM twin GROUP BY tag HAVING count(*) <> 2");
  const bool torn = half.step();
  half.reset();
  if (torn) throw Violation("a write was torn: of two twins only one is there");
}

void Checkers::replica_at(int party, const std::string& path, const Position& position,
                          bool alone) {
  const std::string who = "node " + std::to_string(party);
  const Key key{position.epoch.generation, position.epoch.id, position.seq.value};
  const auto chain = chains_.find(key);
  if (chain == chains_.end()) {
    throw Violation(who + " is at " + to_string(position) + ", where the master never was");
  }
  if (chain->second != position.chain) {
    throw Violation(who + " has another chain at " + to_string(position));
  }
  const auto last = last_.find(party);
  if (last != last_.end() && last->second.epoch == position.epoch &&
      position.seq < last->second.seq) {
    throw Violation(who + " went back from " + to_string(last->second) + " to " +
                    to_string(position));
  }
  const auto content = contents_.find(key);
  if (!alone && content != contents_.end() && contents_now_.of(path) != content->second) {
    throw Violation(who + " differs from the master at " + to_string(position));
  }
  last_[party] = position;
  if (in_journal_[party].empty()) return;
  if (!alone && position.epoch != epoch_) takes_last_words(party, path);
  alone ? shows_own(party, path) : keeps_own(party, path);
}

void Checkers::replica_restarted(int party) { last_.erase(party); }

void Checkers::replica_set_back(int party) {
  last_.erase(party);
  waiting_.erase(party);
  set_back_.insert(party);
  const Database db(master_, Database::Mode::kReadOnly);
  const std::set<std::string> there = tags_in(db);
  for (const std::string& tag : in_journal_[party]) {
    if (!there.contains(tag)) journaled_.erase(tag);
  }
  in_journal_.erase(party);
  held_.erase(party);
  // A lost master's last words may have come since.
  if (restored_) forget_unlogged(db);
}

void Checkers::forget_unlogged(const Database& master) {
  const std::set<TxId> there = logged_in(master);
  std::erase_if(committed_as_, [&there](const TxId& tx) { return !there.contains(tx); });
}

void Checkers::replayed(const std::vector<WriteOutcome>& outcomes) {
  for (const WriteOutcome& outcome : outcomes) {
    const auto* const replayed = std::get_if<Replayed>(&outcome.answer);
    if (replayed == nullptr || !is_outcome(replayed->result)) continue;
    for (auto& [party, made] : waiting_) {
      const auto place = made.find(replayed->tx);
      if (place == made.end()) continue;
      const TxId first = *made.lower_bound(TxId{replayed->tx.node, 0});
      if (first != replayed->tx && !set_back_.contains(party)) {
        throw Violation("of node " + std::to_string(party) + " the offline change " +
                        to_string(replayed->tx) + " took effect before " + to_string(first));
      }
      made.erase(place);
    }
  }
}

void Checkers::has_outcomes(const std::vector<TxId>& settled) {
  for (auto& [party, made] : waiting_) {
    for (const TxId& tx : settled) made.erase(tx);
  }
}

void Checkers::shows_own(int party, const std::string& path) {
  const std::set<std::string> here = tags_of(contents_now_.question(path, "SELECT name FROM tag"));
  for (const std::string& tag : in_journal_[party]) {
    if (here.contains(tag) || is_kept(contents_now_.question(path, kInInbox), tag)) continue;
    throw Violation(tag + " was made offline at node " + std::to_string(party) +
                    ", which has a journal and does not show it");
  }
}

// It has emptied its journal by what a master has answered that is gone: what of it was merged is
// offered from its log, and its inbox is of the lost history.
void Checkers::takes_last_words(int party, const std::string& path) {
  for (const std::string& tag : in_journal_[party]) {
    if (!had_.contains(tag) || waits_.erase(tag) == 0) continue;
    lost_.insert(tag);
    journaled_.erase(tag);
  }
  hold(party, Database(path, Database::Mode::kReadOnly));
}

void Checkers::keeps_own(int party, const std::string& path) {
  const std::set<std::string> here = tags_of(contents_now_.question(path, "SELECT name FROM tag"));
  for (const std::string& tag : std::exchange(in_journal_[party], {})) {
    if (here.contains(tag) || lost_.contains(tag)) continue;
    if (is_kept(contents_now_.question(path, kInInbox), tag)) continue;
    throw Violation(tag + " was made offline at node " + std::to_string(party) +
                    ", which has no journal any more and does not show it");
  }
}

void Checkers::answered_by_itself(const WriteDone& done) {
  if (done.status != WriteStatus::kCommitted) return;
  if (committed_as_.insert(done.tx).second) return;
  throw Violation("two writes were answered committed under " + to_string(done.tx));
}

void Checkers::answered_alike(const WriteDone& done) {
  answered_by_itself(done);
  switch (done.status) {
    case WriteStatus::kCommitted:
    case WriteStatus::kJournaled:
      ++alike_done_;
      break;
    case WriteStatus::kRejected:
    case WriteStatus::kNoBroker:
      ++alike_refused_;
      break;
    case WriteStatus::kUnknown:
      break;
  }
}

void Checkers::answered(int party, const std::string& tag, const WriteDone& done) {
  answered_by_itself(done);
  switch (done.status) {
    case WriteStatus::kCommitted:
      // Of a master that is gone: its last words.
      if (!lost_.contains(tag)) committed_.insert(tag);
      break;
    case WriteStatus::kJournaled:
      journaled_.insert(tag);
      waiting_[party].insert(done.tx);
      in_journal_[party].insert(tag);
      break;
    case WriteStatus::kRejected:
    case WriteStatus::kNoBroker:
      rejected_.insert(tag);
      break;
    case WriteStatus::kUnknown:
      break;
  }
}

void Checkers::visible(int party, const std::string& path, const std::string& tag) {
  Statement& count = contents_now_.question(path, "SELECT count(*) FROM tag WHERE name = ?");
  count.bind(1, std::string_view(tag));
  const bool one = count.step() && count.column_int(0) == 1;
  count.reset();
  if (!one) {
    throw Violation("node " + std::to_string(party) + " was told that " + tag +
                    " is visible, but its replica does not show it");
  }
}

void Checkers::master_lost(const std::vector<std::string>& replicas) {
  // What is on its way to a replica still makes it drop what lies below.
  {
    const Database db(master_, Database::Mode::kReadOnly);
    const auto floor = db.query_int("SELECT value FROM csa_meta WHERE key = 'floor'").value_or(0);
    lost_floor_ = std::max(floor, after_last_schema(db, floor));
    had_ = tags_in(db);
    Statement inbox = db.prepare("SELECT 1 FROM csa_conflicts WHERE instr(node_row, ?1) > 0");
    for (const std::string& tag : journaled_) {
      inbox.bind(1, "\"" + tag + "\"");
      if (inbox.step()) had_.insert(tag);
      inbox.reset();
    }
  }
  waits_.clear();
  for (std::size_t i = 0; i < replicas.size(); ++i) {
    const Database db(replicas[i], Database::Mode::kReadOnly);
    if (!has_meta(db)) continue;
    const int party = static_cast<int>(i) + 1;
    if (db.query_int("SELECT 1 FROM csa_journal LIMIT 1")) {
      const std::set<std::string>& own = in_journal_[party];
      waits_.insert(own.begin(), own.end());
    }
    hold(party, db);
  }
}

void Checkers::hold(int party, const Database& db) {
  Statement told = db.prepare(
      "SELECT 1 FROM csa_log WHERE part_id >> 20 >= ?2 AND instr(body, CAST(?1 AS BLOB)) > 0");
  for (const std::string& tag : tags_in(db)) {
    told.bind(1, as_in_changes(tag)).bind(2, lost_floor_);
    if (told.step()) held_[party].insert(tag);
    told.reset();
  }
}

void Checkers::master_restored(const Position& position) {
  master_at(position, {});
  const Database db(master_, Database::Mode::kReadOnly);
  const std::set<std::string> tags = tags_in(db);
  for (const std::string& tag : had_) {
    if (tags.contains(tag) || waits_.contains(tag)) continue;
    lost_.insert(tag);
    committed_.erase(tag);
    journaled_.erase(tag);
  }
  // Of the others it knows nothing, so a node set back behind them may use their TxIds again.
  forget_unlogged(db);
  restored_ = true;
}

std::size_t Checkers::all_recovered() {
  recovered_ = true;
  const Database db(master_, Database::Mode::kReadOnly);
  Statement offered = db.prepare(
      "SELECT 1 FROM csa_lost_part JOIN csa_lost ON id = part_id >> 20"
      " WHERE state = 'doubtful' AND instr(body, CAST(?1 AS BLOB)) > 0");
  std::set<std::string> missed = lost_;
  missed.insert(waits_.begin(), waits_.end());
  for (const std::string& tag : missed) {
    offered.bind(1, as_in_changes(tag));
    if (offered.step()) doubtful_.insert(tag);
    offered.reset();
  }
  return doubtful_.size();
}

void Checkers::tags() const {
  const Database db(master_, Database::Mode::kReadOnly);
  Statement rows = db.prepare("SELECT name, count(*) FROM tag GROUP BY name");
  std::map<std::string, std::int64_t> found;
  while (rows.step()) found[rows.column_text(0)] = rows.column_int(1);
  for (const auto& [tag, count] : found) {
    if (count != 1) throw Violation(tag + " took effect " + std::to_string(count) + " times");
    if (sent_.count(tag) == 0) throw Violation(tag + " was never sent");
    if (rejected_.count(tag) != 0) throw Violation(tag + " was refused and took effect");
  }
  for (const std::string& tag : committed_) {
    if (found.count(tag) == 0) throw Violation(tag + " was acknowledged and is lost");
  }
  Statement inbox = db.prepare(kInInbox);
  for (const std::string& tag : journaled_) {
    if (found.count(tag) == 0 && !doubtful_.contains(tag) && !is_kept(inbox, tag)) {
      throw Violation(tag + " was journaled and is neither in the master nor the inbox");
    }
  }
  if (!recovered_) return;
  for (const auto& [party, held] : held_) {
    for (const std::string& tag : held) {
      if (!lost_.contains(tag) || doubtful_.contains(tag) || found.contains(tag) ||
          is_kept(inbox, tag))
        continue;
      throw Violation(tag + " was lost with the master, replica " + std::to_string(party) +
                      " had it, and it is not back");
    }
  }
}

// Of what went with a master or a disk nobody knows how many there were.
void Checkers::alike() const {
  if (restored_ || !set_back_.empty()) return;
  const Database db(master_, Database::Mode::kReadOnly);
  const auto count = [&db](const char* sql) {
    return static_cast<std::uint64_t>(db.query_int(sql).value_or(0));
  };
  const std::uint64_t rows = count("SELECT count(*) FROM again");
  const std::uint64_t kept = count("SELECT count(*) FROM csa_conflicts WHERE table_name = 'again'");
  if (alike_done_ <= rows + kept && rows <= alike_sent_ - alike_refused_) return;
  throw Violation("of " + std::to_string(alike_sent_) + " writes that were alike " +
                  std::to_string(alike_done_) + " were answered well and " +
                  std::to_string(alike_refused_) + " refused, and " + std::to_string(rows) +
                  " took effect, beside " + std::to_string(kept) + " in the inbox");
}

void Checkers::equal(const std::string& replica) const {
  const Database a(master_, Database::Mode::kReadOnly);
  const Database b(replica, Database::Mode::kReadOnly);
  const std::string difference = test::difference(a, b);
  if (!difference.empty()) throw Violation(replica + " differs from the master: " + difference);
}

void Checkers::sound(const std::string& path) const {
  const Database db(path, Database::Mode::kReadOnly);
  const std::string verdict = db.query_text("PRAGMA integrity_check").value_or("no answer");
  if (verdict != "ok") throw Violation(path + " is damaged: " + verdict);
  const auto dangling = db.query_text("SELECT \"table\" FROM pragma_foreign_key_check");
  if (dangling) throw Violation(path + " has a row without its parent in " + *dangling);
}

}  // namespace csa::sim
