#include "broker/merge_inbox.h"

#include <algorithm>
#include <utility>

#include "broker/row_identity.h"
#include "common/change_bytes.h"

namespace csa {
namespace {

// A row of csa_inbox is closed where its own rows are so large.
constexpr std::size_t kFull = std::size_t{16} << 10U;
constexpr std::string_view kNodeWon = "node";

const Row* told_row(const std::optional<Row>& row) { return row ? &*row : nullptr; }

// Not copied: it must stay until the statement has run.
void bind_told(Statement& statement, int position, std::string_view text) {
  const int code = sqlite3_bind_text64(statement.handle(), position, text.data(), text.size(),
                                       SQLITE_STATIC, SQLITE_UTF8);
  if (code != SQLITE_OK) throw_sqlite(sqlite3_db_handle(statement.handle()), code, "bind");
}

std::int64_t index_of(const Id128& hash) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i) number = number << 8U | hash.bytes.at(i);
  return signed_of(number);
}

// It loses to what others have made of the row since an earlier one lost. Restored in its place,
// that one would undo their edit as if it had come before, or leave alone what it took.
bool lost_to_others(const ConflictRow& row, const RowSet& known) {
  const Row& master = known.rows[1];
  const Row& node = known.rows[2];
  if (row.broker.has_value() == master.empty()) return true;
  const auto damaged = [&row](const Row& one) {
    return !one.empty() && one.size() != row.columns.size();
  };
  if (std::ranges::any_of(known.rows, damaged)) return true;
  for (std::size_t i = 0; row.broker && i < master.size(); ++i) {
    const Value& now = (*row.broker)[i];
    // What adds up loses nothing, and the rest is as it was, or as this journal has made it.
    const bool adds_up = i < row.adds_up.size() && row.adds_up[i];
    const bool own = (!node.empty() && now == node[i]) || (row.base && now == (*row.base)[i]);
    // Restored, neither of the two would write what its node has not changed.
    const Row& base = known.rows[0];
    const bool before = base.empty() || node.empty() || base[i] != node[i];
    const bool later = !row.base || !row.node || (*row.base)[i] != (*row.node)[i];
    if (now != master[i] && !adds_up && !own && (before || later)) return true;
  }
  return false;
}

// Different decisions and their places, in the order of their coming.
class Decisions {
 public:
  std::size_t place_of(const InboxDecision& decision) {
    if (last_ != nullptr && *last_ == decision) return place_;
    last_ = &decision;
    const std::string json = decision_json(decision);
    const auto [known, fresh] = places_.try_emplace(json, places_.size());
    place_ = known->second;
    if (fresh) {
      json_ += json_.empty() ? "[" : ",";
      json_ += json;
    }
    return place_;
  }
  [[nodiscard]] std::string json() const { return json_ + "]"; }

 private:
  std::map<std::string, std::size_t> places_;
  std::string json_;
  const InboxDecision* last_ = nullptr;
  std::size_t place_ = 0;
};

}  // namespace

std::string wall_text(WallTime time, const ConflictOrigin& origin) {
  return to_string(WallTime{time.ms + origin.wall_ahead_ms});
}

Inbox::Inbox(const Database& db)
    : reader_(db),
      insert_(db,
              "INSERT INTO csa_inbox VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"
              " ?13, ?14)"),
      last_(db, "SELECT last FROM csa_inbox ORDER BY first DESC LIMIT 1"),
      // Of this journal alone, and no row is taken apart in vain.
      of_hash_(db,
               "SELECT r.id FROM csa_inbox_row AS r JOIN csa_inbox AS b ON b.first ="
               " (SELECT max(first) FROM csa_inbox WHERE first <= r.id)"
               " WHERE r.hash = ?1 AND r.id >= (SELECT min(first) FROM csa_inbox WHERE node = ?2"
               " AND journal = ?3) AND b.node = ?2 AND b.journal = ?3"
               " AND substr(b.hashes, 16 * (r.id - b.first) + 1, 16) = ?4 ORDER BY r.id DESC"),
      index_(db, "INSERT OR IGNORE INTO csa_inbox_row VALUES (?1, ?2)"),
      indexed_(db, "SELECT EXISTS (SELECT 1 FROM csa_inbox_row)"),
      later_(db,
             "INSERT INTO csa_inbox_later VALUES (?1, 'open', ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
             " ON CONFLICT (id) DO UPDATE SET seq = ?2, time = ?3, counter = ?4, node_time = ?5,"
             " decided = ?6, row = ?7, exact = ?8"),
      any_(db, "SELECT 1 FROM csa_inbox WHERE node = ?1 AND journal = ?2 LIMIT 1"),
      join_(db,
            "UPDATE csa_inbox SET bundle = ?4 WHERE node = ?1 AND journal = ?2 AND bundle = ?3") {}

void Inbox::begin() {
  waiting_.clear();
  waiting_at_.clear();
  waiting_bytes_ = 0;
  reader_.forget();
  const bool indexed = indexed_.step() && indexed_.column_int(0) != 0;
  indexed_.reset();
  if (!indexed) index_all();
}

// The file is new, or was a replica's.
void Inbox::index_all() {
  reader_.each_from(INT64_MIN, [this](const KeptConflict& conflict) {
    Id128 hash;
    std::copy_n(conflict.hash.begin(), hash.bytes.size(), hash.bytes.begin());
    index(hash, conflict.decided.decision, conflict.id);
    return true;
  });
  index({}, "", 0);  // none is missing
}

// Nobody looks for versions of the master's that were overwritten.
void Inbox::index(const Id128& hash, std::string_view decision, std::int64_t id) {
  if (decision != kNodeWon) index_.bind(1, index_of(hash)).bind(2, id).run();
}

bool Inbox::any_kept(const NodeId& node, std::uint64_t journal, const Id128& row,
                     const InboxReader::Visit& visit) {
  std::vector<std::int64_t> ids;
  of_hash_.bind(1, index_of(row)).bind_blob(2, node.value.bytes).bind(3, signed_of(journal));
  of_hash_.bind_blob(4, row.bytes);
  while (of_hash_.step()) ids.push_back(of_hash_.column_int(0));
  for (const std::int64_t id : ids) {
    std::optional<KeptConflict> kept = reader_.find(id);
    if (kept && visit(*kept)) return true;
  }
  return false;
}

std::optional<std::uint64_t> Inbox::bundle_of(const NodeId& node, std::uint64_t journal,
                                              const Id128& row) {
  std::optional<std::uint64_t> bundle;
  (void)any_kept(node, journal, row, [&](const KeptConflict& kept) {
    if (kept.is_whole() && kept.state != "restored") bundle = kept.bundle;
    return bundle.has_value();
  });
  return bundle;
}

bool Inbox::knows(const NodeId& node, std::uint64_t journal) {
  any_.bind_blob(1, node.value.bytes).bind(2, signed_of(journal));
  const bool found = any_.step();
  any_.reset();
  return found;
}

void Inbox::join(const NodeId& node, std::uint64_t journal, std::uint64_t from, std::uint64_t to) {
  join_.bind_blob(1, node.value.bytes).bind(2, signed_of(journal));
  join_.bind(3, signed_of(from)).bind(4, signed_of(to));
  join_.run();
  reader_.forget();
}

const std::string& Inbox::TimeText::of(WallTime time, const ConflictOrigin& origin) {
  const std::int64_t wall = time.ms + origin.wall_ahead_ms;
  if (std::exchange(ms_, wall) != wall) text_ = to_string(WallTime{wall});
  return text_;
}

// Its version of before is replaced; false: it does not fit that, and stays beside it.
bool Inbox::tell_later(const ConflictRow& row, InboxDecision& decided, const StoredVersions& before,
                       StoredVersions& after) {
  if (decided.decision != row.decision || decided.rule != row.rule) return false;
  const std::optional<RowSet> known = read_versions(before);
  if (!known || known->columns != row.columns) return false;
  const bool whole = row.decision == "parked" || row.rule == kAtomicRule;
  if (!whole && lost_to_others(row, *known)) return false;
  const auto version = [&known](std::size_t i) {
    return known->rows[i].empty() ? nullptr : &known->rows[i];
  };
  rows_.set(row.columns, {version(0), version(1), told_row(row.node)});
  take_texts(after);
  decided.op = !before.texts[0] && row.node ? "insert" : row.op;
  if (row.decision != "parked") decided.reason = row.reason;
  decided.close = decided.close || row.close;
  return true;
}

void Inbox::take_texts(StoredVersions& into) const {
  for (std::size_t i = 0; i < into.texts.size(); ++i) into.texts[i] = rows_.text(i);
  into.rows = rows_.exact();
}

bool Inbox::replace_waiting(const ConflictRow& row, const Id128& hash,
                            const ConflictOrigin& origin) {
  const auto found = waiting_at_.find(hash);
  if (found == waiting_at_.end()) return false;
  Waiting& waiting = waiting_[found->second];
  std::string json;
  append_row_json(0, waiting.texts, json);
  std::optional<InboxTexts> whole = read_row(json);
  if (!whole) return false;
  StoredVersions versions;
  const StoredVersions before{waiting.exact, std::move(whole->versions)};
  if (!tell_later(row, waiting.decided, before, versions)) return false;
  waiting_bytes_ -= size_of(waiting);
  waiting.texts.versions = std::move(versions.texts);
  waiting.exact = std::move(versions.rows);
  waiting_bytes_ += size_of(waiting);
  if (waiting_bytes_ >= kFull) store(origin);
  return true;
}

// What the node did to a row that is here already replaces its version of before. A version of the
// master that it overwrites is always one more that is lost.
bool Inbox::replace(const ConflictRow& row, const Id128& hash, const ConflictOrigin& origin) {
  if (row.decision == kNodeWon) return false;
  if (replace_waiting(row, hash, origin)) return true;
  return any_kept(origin.tx.node, origin.journal, hash, [&](const KeptConflict& kept) {
    if (kept.state != "open") return false;
    InboxDecision decided = kept.decided;
    StoredVersions versions;
    if (!tell_later(row, decided, kept.stored, versions)) return false;
    const std::string decision = decision_json(decided);
    std::string texts;
    append_row_json(0, {kept.key, versions.texts}, texts);
    later_.bind(1, kept.id).bind(2, signed_of(origin.seq.value));
    bind_told(later_, 3, decided_.of(origin.now, origin));
    later_.bind(4, signed_of(origin.tx.counter));
    bind_told(later_, 5, edited_.of(origin.edited, origin));
    bind_told(later_, 6, decision);
    bind_told(later_, 7, texts);
    later_.bind_blob(8, versions.rows).run();
    return true;
  });
}

std::size_t Inbox::size_of(const Waiting& waiting) {
  std::size_t size = 64 + waiting.texts.key.size() + waiting.exact.size();
  for (const std::optional<std::string>& version : waiting.texts.versions) {
    if (version) size += version->size();
  }
  return size;
}

void Inbox::add(const ConflictRow& row, const ConflictOrigin& origin) {
  const Id128 hash = hash_of(row.identity);
  if (replace(row, hash, origin)) return;
  Waiting waiting;
  waiting.hash = hash;
  waiting.decided = {row.identity.table, row.op, row.rule,  row.decision,
                     row.reason,         {},     row.close, row.numbered};
  if (row.broker_edit && row.broker_edit->time.ms != 0) {
    waiting.decided.broker_time = broker_edited_.of(row.broker_edit->time, origin);
  }
  key_.set(row.key_columns, {&row.identity.key, nullptr, nullptr});
  waiting.texts.key = key_.text(0).value_or("{}");
  rows_.set(row.columns, {told_row(row.base), told_row(row.broker), told_row(row.node)});
  StoredVersions versions;
  take_texts(versions);
  waiting.texts.versions = std::move(versions.texts);
  waiting.exact = std::move(versions.rows);
  wait(std::move(waiting), origin);
}

// A large row is stored alone: it is as near to SQLite's limit as it was in its own table.
void Inbox::wait(Waiting&& waiting, const ConflictOrigin& origin) {
  const std::size_t size = size_of(waiting);
  if (size >= kFull) store(origin);
  if (waiting.decided.decision != kNodeWon) {
    waiting_at_.insert_or_assign(waiting.hash, waiting_.size());
  }
  waiting_.push_back(std::move(waiting));
  waiting_bytes_ += size;
  if (waiting_bytes_ >= kFull) store(origin);
}

void Inbox::store(const ConflictOrigin& origin) {
  if (waiting_.empty()) return;
  const std::int64_t first = last_.step() ? last_.column_int(0) + 1 : 1;
  last_.reset();
  Bytes hashes, exact;
  Decisions decisions;
  std::string rows;
  for (std::size_t i = 0; i < waiting_.size(); ++i) {
    const Waiting& waiting = waiting_[i];
    hashes.insert(hashes.end(), waiting.hash.bytes.begin(), waiting.hash.bytes.end());
    rows += i == 0 ? '[' : ',';
    append_row_json(decisions.place_of(waiting.decided), waiting.texts, rows);
    index(waiting.hash, waiting.decided.decision, first + static_cast<std::int64_t>(i));
    if (waiting.exact.empty()) continue;
    append_varint(i, exact);
    append_varint(waiting.exact.size(), exact);
    exact.insert(exact.end(), waiting.exact.begin(), waiting.exact.end());
  }
  rows += ']';
  const std::string decided = decisions.json();
  insert_.bind(1, first).bind(2, first + static_cast<std::int64_t>(waiting_.size()) - 1);
  insert_.bind(3, signed_of(origin.seq.value));
  bind_told(insert_, 4, decided_.of(origin.now, origin));
  insert_.bind_blob(5, origin.tx.node.value.bytes).bind(6, signed_of(origin.tx.counter));
  insert_.bind(7, signed_of(origin.journal));
  bind_told(insert_, 8, origin.hostname);
  bind_told(insert_, 9, edited_.of(origin.edited, origin));
  insert_.bind(10, signed_of(origin.bundle != 0 ? origin.bundle : origin.tx.counter));
  insert_.bind_blob(11, hashes);
  bind_told(insert_, 12, decided);
  bind_told(insert_, 13, rows);
  insert_.bind_blob(14, exact).run();
  waiting_.clear();
  waiting_at_.clear();
  waiting_bytes_ = 0;
  reader_.forget();
}

}  // namespace csa
