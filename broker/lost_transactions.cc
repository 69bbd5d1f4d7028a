#include "broker/lost_transactions.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "common/codec.h"
#include "common/key_changes.h"
#include "common/limits.h"
#include "common/named_change.h"
#include "common/value_json.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

// csa_lost_part's key is id << kPartBits | part; -id is the checksum's (schemas/tables.sql).
constexpr int kPartBits = 20;

constexpr std::size_t kRowsShown = 5;          // of one transaction, in a list
constexpr std::size_t kRowsShownBytes = 4096;  // as JSON

// csa_lost.state.
constexpr const char* kLost = "lost";
constexpr const char* kDoubtful = "doubtful";
constexpr const char* kRecovered = "recovered";
constexpr const char* kForgotten = "forgotten";
constexpr const char* kBrought = "brought";

bool waits(const std::string& state) { return state == kLost || state == kDoubtful; }

Rejection rejected(std::string why) { return {NackCode::kSql, std::move(why), 0, true}; }

std::string name_of(std::int64_t id) { return "lost transaction " + std::to_string(id); }

// Changed rows a table, as JSON; an Error where the changes cannot be read.
Result<std::string> tables_of(const Spill& body) {
  std::map<std::string, std::int64_t> rows;
  ChangeReader reader;
  for (std::uint64_t at = 0; at < body.size();) {
    const Bytes bytes = body.read(at, limits::kPieceMax);
    at += bytes.size();
    reader.feed(bytes);
    while (true) {
      const Result<std::optional<Change>> change = reader.next();
      if (!change) return change.error();
      if (!*change) break;
      const auto* const row = std::get_if<RowChange>(&**change);
      if (row != nullptr) ++rows[reader.tables().at(row->table).name];
    }
  }
  if (!reader.at_boundary()) return Error{Errc::kMalformed, "its changes end too early"};
  return nlohmann::json(rows).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// The lost history is the journal, and its Seqs are the counters.
TxId entry_of(const JournalHeader& lost) {
  return {NodeId{lost.base.epoch.id}, lost.base.seq.value + 1};
}

struct Kept {
  std::string state;
  std::string outcome;
  std::string hostname;
  Bytes header;
};

std::optional<Kept> find(const Database& db, std::int64_t id) {
  Statement row =
      db.prepare("SELECT state, outcome, hostname, header FROM main.csa_lost WHERE id = ?1");
  row.bind(1, id);
  if (!row.step()) return std::nullopt;
  return Kept{row.column_text(0), row.column_text(1), row.column_text(2), row.column_blob(3)};
}

void settle(const Database& db, std::int64_t id, std::string_view state, const std::string& text) {
  Statement set = db.prepare("UPDATE main.csa_lost SET state = ?2, outcome = ?3 WHERE id = ?1");
  set.bind(1, id).bind(2, state).bind(3, text).run();
  Statement erase = db.prepare(
      "DELETE FROM main.csa_lost_part WHERE part_id >= ?1 AND part_id < ?2"
      " OR part_id = ?3");
  erase.bind(1, id << kPartBits).bind(2, (id + 1) << kPartBits).bind(3, -id).run();
}

// Whether it is here under the TxId that its node gave it, where the history that it is offered
// from had another transaction under that, so that `stray` is its name there.
bool is_known_by_own_name(const Database& db, Statement& by_tx, const TxId& stray,
                          const Id128& hash) {
  if (hash.is_zero()) return false;
  Statement next = db.prepare("SELECT min(node) FROM main.csa_lost WHERE node > ?1");
  TxId own{{}, stray.counter};
  next.bind_blob(1, Bytes{});
  while (next.step() && !next.column_is_null(0)) {
    const Bytes node = next.column_blob(0);
    std::copy_n(node.begin(), std::min(node.size(), own.node.value.bytes.size()),
                own.node.value.bytes.begin());
    next.reset();
    next.bind_blob(1, node);
    if (name_of_stray(own, hash) == stray && find_lost(by_tx, own, hash)) return true;
  }
  return false;
}

// Its header and changes are those that were offered. One that an older version has kept has no
// checksum.
bool is_as_offered(const Database& db, std::int64_t id, const Id128& checksum) {
  Statement row = db.prepare("SELECT body FROM main.csa_lost_part WHERE part_id = ?1");
  row.bind(1, -id);
  return !row.step() || std::ranges::equal(row.column_blob(0), checksum.bytes);
}

Json object_of(const NamedValues& values) {
  Json object = Json::object();
  for (const auto& [name, value] : values) object[name] = value_json(value);
  return object;
}

// The first rows that its changes touch, as JSON, so that a person can choose; a few KiB at most.
// Empty once it is settled: the changes are gone then.
std::string first_rows(Statement& part, std::int64_t id) {
  part.reset();
  part.bind(1, id << kPartBits);
  Json list = Json::array();
  ChangeReader reader;
  if (part.step()) reader.feed(part.column_blob(0));
  std::size_t bytes = 0;
  while (list.size() < kRowsShown) {
    const Result<std::optional<Change>> change = reader.next();
    if (!change || !*change) break;
    const auto* const row = std::get_if<RowChange>(&**change);
    if (row == nullptr) continue;
    const NamedChange named = name_change(*row, reader.tables().at(row->table), nullptr);
    Json object = {{"table", named.table}, {"op", named.op}, {"key", object_of(named.key)}};
    if (named.op != "insert") object["old"] = object_of(named.before);
    if (named.op != "delete") object["new"] = object_of(named.after);
    bytes += to_line(object).size();
    if (bytes > kRowsShownBytes) break;
    list.push_back(std::move(object));
  }
  return to_line(list);
}

CallEffect show(const Database& db, std::int64_t from, std::size_t rows_max) {
  CallEffect effect;
  effect.columns = {"id",  "time",  "hostname", "node",       "counter", "epoch",
                    "seq", "state", "outcome",  "offered_by", "tables",  "rows"};
  Statement rows = db.prepare(
      "SELECT id, time, hostname, node, counter, epoch, seq, state, outcome, offered_by, tables"
      " FROM main.csa_lost WHERE id >= ?1 ORDER BY id");
  rows.bind(1, from);
  Statement part = db.prepare("SELECT body FROM main.csa_lost_part WHERE part_id = ?1");
  const int stored = static_cast<int>(effect.columns.size()) - 1;
  std::size_t bytes = 0;
  while (rows.step()) {
    Row row;
    for (int i = 0; i < static_cast<int>(effect.columns.size()); ++i) {
      row.push_back(i < stored ? rows.column_value(i)
                               : Value{Text{first_rows(part, rows.column_int(0))}});
      const auto* const text = std::get_if<Text>(&row.back());
      bytes += 16 + (text == nullptr ? 16 : text->utf8.size());
    }
    if (bytes > rows_max / 2 && !effect.rows.empty()) break;
    effect.rows.push_back(std::move(row));
  }
  return effect;
}

// Why it cannot be settled any more; nothing: it can.
std::optional<Rejection> settled(const std::optional<Kept>& kept, std::int64_t id) {
  if (!kept) return rejected("there is no " + name_of(id) + "; csa-admin recover lists them");
  if (kept->state == kRecovered) return rejected(name_of(id) + " was recovered already");
  if (kept->state == kBrought) return rejected(name_of(id) + ": " + kept->outcome);
  return std::nullopt;
}

}  // namespace

TxId name_of_stray(const TxId& tx, const Id128& request_hash) {
  Hasher hasher;
  hasher.update(tx.node.value.bytes);
  hasher.update(request_hash.bytes);
  return {NodeId{hasher.digest()}, tx.counter};
}

MergeOutcome keep_lost(const Database& db, const ReplayEntry& entry, const std::string& doubt) {
  const JournalHeader& header = entry.header;
  Statement by_tx = prepare_find_lost(db);
  if (find_lost(by_tx, header.lost, header.request_hash) ||
      is_known_by_own_name(db, by_tx, header.lost, header.request_hash)) {
    return {ReplayResult::kOffered, "another replica has offered it", {}, 0};
  }
  by_tx.bind_blob(1, header.lost.node.value.bytes);
  by_tx.bind(2, static_cast<std::int64_t>(header.lost.counter));
  // A node that was set back too has used its TxIds twice.
  const TxId name = by_tx.step() ? name_of_stray(header.lost, header.request_hash) : header.lost;
  const Result<std::string> tables = tables_of(entry.body);
  if (!tables) return {ReplayResult::kParked, tables.error().what, {}, 0};
  Statement insert = db.prepare(
      "INSERT INTO main.csa_lost (node, counter, epoch, seq, time, hostname, offered_by, tables,"
      " state, outcome, header) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?10, ?11, ?9)");
  insert.bind_blob(1, name.node.value.bytes);
  insert.bind(2, static_cast<std::int64_t>(name.counter));
  insert.bind_blob(3, header.base.epoch.id.bytes);
  insert.bind(4, static_cast<std::int64_t>(header.base.seq.value + 1));
  insert.bind(5, to_string(header.edited)).bind(6, header.lost_hostname).bind(7, entry.hostname);
  insert.bind(8, *tables).bind_blob(9, encode_header(header));
  insert.bind(10, std::string_view(doubt.empty() ? kLost : kDoubtful)).bind(11, doubt);
  insert.run();
  const std::int64_t id = sqlite3_last_insert_rowid(db.handle());
  Statement part = db.prepare("INSERT INTO main.csa_lost_part VALUES (?1, ?2)");
  std::int64_t number = 0;
  JournalHasher hasher(header);
  for (std::uint64_t at = 0; at < entry.body.size(); ++number) {
    const Bytes bytes = entry.body.read(at, limits::kPieceMax);
    hasher.update(bytes);
    part.bind(1, id << kPartBits | number).bind_blob(2, bytes);
    part.run();
    at += bytes.size();
  }
  part.bind(1, -id).bind_blob(2, hasher.digest().bytes);
  part.run();
  return {ReplayResult::kOffered, "", {}, 0};
}

Statement prepare_find_lost(const Database& db) {
  return db.prepare(
      "SELECT id, state, outcome, header FROM main.csa_lost WHERE node = ?1 AND counter = ?2");
}

std::optional<KnownLost> find_lost(Statement& by_tx, const TxId& tx, const Id128& hash) {
  std::optional<KnownLost> found;
  for (const TxId& name : {tx, name_of_stray(tx, hash)}) {
    if (found) break;
    by_tx.bind_blob(1, name.node.value.bytes).bind(2, static_cast<std::int64_t>(name.counter));
    if (by_tx.step()) {
      const Result<JournalHeader> header = decode_journal_header(by_tx.column_blob(3));
      // Of one that is not the same the TxId alone is: two programs went by one identity.
      if (header && (header->request_hash.is_zero() || header->request_hash == hash)) {
        found = KnownLost{by_tx.column_int(0), by_tx.column_text(1), by_tx.column_text(2),
                          entry_of(*header)};
      }
    }
    by_tx.reset();
  }
  return found;
}

void mark_brought(const Database& db, std::int64_t id) {
  settle(db, id, kBrought, "its own node has brought it again since");
}

std::variant<Recovered, Rejection> recover_lost(const Database& db, std::int64_t id,
                                                const std::string& spill_folder,
                                                const MergeLost& merge) {
  const std::optional<Kept> kept = find(db, id);
  if (auto why = settled(kept, id)) return std::move(*why);
  if (!waits(kept->state)) return rejected(name_of(id) + " was thrown away");
  const Result<JournalHeader> header = decode_journal_header(kept->header);
  if (!header) return rejected(name_of(id) + " cannot be read: " + header.error().what);
  Spill body(spill_folder, limits::kCaptureMemory);
  JournalHasher hasher(*header);
  {
    Statement parts = db.prepare(
        "SELECT body FROM main.csa_lost_part WHERE part_id >= ?1 AND part_id < ?2 ORDER BY"
        " part_id");
    parts.bind(1, id << kPartBits).bind(2, (id + 1) << kPartBits);
    while (parts.step()) {
      const Bytes bytes = parts.column_blob(0);
      hasher.update(bytes);
      body.append(bytes);
    }
  }
  if (body.size() != header->size) return rejected(name_of(id) + " is not whole any more");
  if (!is_as_offered(db, id, hasher.digest())) {
    return rejected(name_of(id) +
                    " cannot be read as it was offered; csa_lost and csa_lost_part of a replica may"
                    " have it");
  }
  ReplayEntry entry{*header, 1, kept->hostname, body};
  entry.header.tx = entry_of(*header);
  const MergeOutcome done = merge(entry);
  const std::string result(to_string(done.result));
  settle(db, id, kRecovered, done.text.empty() ? result : result + ": " + done.text);
  Recovered recovered{{}, header->edited, header->edited_error_ms};
  recovered.effect.changes = done.rows;
  recovered.effect.columns = {"id", "outcome", "reason", "keys"};
  recovered.effect.rows = {{id, Text{result}, Text{done.text}, Text{to_json(done.keys)}}};
  return recovered;
}

std::variant<CallEffect, Rejection> settle_lost(const Database& db, const Conflict& request,
                                                std::size_t rows_max) {
  if (request.verb == ConflictVerb::kShowLost) return show(db, request.id, rows_max);
  const std::optional<Kept> kept = find(db, request.id);
  if (auto why = settled(kept, request.id)) return std::move(*why);
  if (waits(kept->state)) settle(db, request.id, kForgotten, "");
  return CallEffect{};
}

}  // namespace csa
