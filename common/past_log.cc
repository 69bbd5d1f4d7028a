#include "common/past_log.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "common/check.h"
#include "common/codec.h"
#include "common/limits.h"

namespace csa {
namespace {

constexpr std::string_view kPastKey = "past_log";  // in csa_meta: "FROM FLOOR"

struct Kept {
  std::uint64_t from = 0;
  std::uint64_t floor = 0;
};

std::optional<Kept> parse_kept(const std::string& text) {
  Kept kept;
  const char* const end = text.data() + text.size();
  const auto [space, no_from] = std::from_chars(text.data(), end, kept.from);
  if (no_from != std::errc() || space == end) return std::nullopt;
  const auto [rest, no_floor] = std::from_chars(space + 1, end, kept.floor);
  if (no_floor != std::errc() || rest != end) return std::nullopt;
  return kept;
}

// Whole, with a header that can be read.
std::optional<LogTable::Entry> whole_entry(LogTable& log, Seq seq) try {
  std::optional<LogTable::Entry> entry = log.entry(seq);
  const bool whole = entry && entry->header.seq == seq && log.stored(seq) == entry->header.size;
  if (!whole) entry.reset();
  return entry;
} catch (const SqliteError& error) {
  if (error.primary_code() != SQLITE_CORRUPT) throw;
  return std::nullopt;
}

bool leads(LogTable& log, const Chain& before, const LogTable::Entry& entry) try {
  ChainHasher hasher(before, entry.header);
  for (std::uint64_t at = 0; at < entry.header.size;) {
    const auto piece = log.read(entry.header.seq, at, limits::kPieceMax);
    if (!piece || piece->bytes.empty()) return false;
    hasher.update(piece->bytes);
    at += piece->bytes.size();
  }
  return hasher.digest() == entry.chain;
} catch (const SqliteError& error) {
  if (error.primary_code() != SQLITE_CORRUPT) throw;
  return false;
}

// The chain after entry `seq`, where something else than the log tells it: an epoch ended there.
std::optional<Chain> chain_at(const std::vector<EpochRecord>& epochs, const Meta& meta, Seq seq) {
  for (const EpochRecord& record : epochs) {
    if (!record.parent.epoch.id.is_zero() && record.parent.seq == seq) return record.parent.chain;
  }
  return seq == meta.position.seq ? std::optional(meta.position.chain) : std::nullopt;
}

}  // namespace

PastLog::PastLog(const Database& db)
    : db_(db),
      kept_(db, "SELECT value FROM csa_meta WHERE key = ?1"),
      oldest_(db, "SELECT min(part_id) FROM csa_log") {}

Seq PastLog::floor(const Meta& meta) {
  kept_.bind(1, kPastKey);
  const std::optional<Kept> kept = kept_.step() ? parse_kept(kept_.column_text(0)) : std::nullopt;
  kept_.reset();
  if (!kept || kept->floor != meta.floor.value) return meta.floor;
  const bool any = oldest_.step() && !oldest_.column_is_null(0);
  const std::int64_t part = any ? oldest_.column_int(0) : 0;
  oldest_.reset();
  if (!any) return meta.floor;
  // Of an entry that is being deleted the first parts are gone.
  const std::int64_t parts = first_log_part(Seq{1});
  Seq whole{static_cast<std::uint64_t>(part / parts)};
  if (part % parts != 0) whole = whole.next();
  return std::min(meta.floor, std::max(Seq{kept->from}, whole));
}

Meta PastLog::told(const Meta& meta) {
  Meta told = meta;
  told.floor = floor(meta);
  return told;
}

void PastLog::keep(Seq from, Seq floor) {
  CSA_CHECK(from <= floor);
  Statement write = db_.prepare("INSERT OR REPLACE INTO csa_meta VALUES (?1, ?2)");
  write.bind(1, kPastKey);
  write.bind(2, std::to_string(from.value) + " " + std::to_string(floor.value));
  write.run();
}

void PastLog::forget() {
  Statement erase = db_.prepare("DELETE FROM csa_meta WHERE key = ?1");
  erase.bind(1, kPastKey);
  erase.run();
}

std::optional<LogTable::Entry> readable_entry(LogTable& log, Seq seq) try {
  return log.entry(seq);
} catch (const SqliteError& error) {
  if (error.primary_code() != SQLITE_CORRUPT) throw;
  return std::nullopt;
}

bool continues(LogTable& log, const Chain& before, Seq seq) {
  const std::optional<LogTable::Entry> entry = whole_entry(log, seq);
  return entry && leads(log, before, *entry);
}

std::optional<Chain> chain_of_beginning(const std::vector<EpochRecord>& epochs) {
  if (epochs.empty() || epochs.front().epoch.generation != 1) return std::nullopt;
  const auto begins = [](const EpochRecord& record) { return record.parent.seq == Seq{0}; };
  if (std::ranges::count_if(epochs, begins) != 1) return std::nullopt;
  return Chain{};
}

LogProof::LogProof(const Database& db, LogTable& log) : log_(log) {
  const std::vector<EpochRecord> epochs = read_epochs(db);
  beginning_ = chain_of_beginning(epochs);
  for (const EpochRecord& record : epochs) {
    if (!record.parent.epoch.id.is_zero()) ends_.insert(record.parent.seq.value);
  }
}

bool LogProof::doubts(Seq seq) {
  const std::optional<LogTable::Entry> entry = whole_entry(log_, seq);
  if (!entry) return true;
  if (seq == Seq{1} && beginning_) return !leads(log_, *beginning_, *entry);
  if (seq.value == 0 || ends_.contains(seq.value - 1)) return false;
  const std::optional<LogTable::Entry> before = whole_entry(log_, Seq{seq.value - 1});
  return before && !leads(log_, before->chain, *entry);
}

std::string doubted_entry(const Database& db, Seq seq) {
  const char* const path = sqlite3_db_filename(db.handle(), "main");
  return "entry " + std::to_string(seq.value) + " of the log in " + (path != nullptr ? path : "") +
         " is not what was written: the disk keeps it wrongly. It goes to nobody: nodes that need "
         "it"
         " take a full copy, and of edits before it nobody knows any more which was the later. Look"
         " after the disk; stop the broker and see with csa-broker check what else it has lost";
}

Seq proven_floor(const Database& db, const Meta& meta) {
  LogTable log(db);
  const std::vector<EpochRecord> epochs = read_epochs(db);
  Seq from = PastLog(db).floor(meta);
  std::optional<Chain> before;
  if (from == Seq{1}) before = chain_of_beginning(epochs);
  for (Seq seq = from; seq <= meta.position.seq; seq = seq.next()) {
    const std::optional<LogTable::Entry> entry = whole_entry(log, seq);
    const std::optional<Chain> known = chain_at(epochs, meta, seq);
    if (!entry || (known && *known != entry->chain)) {
      from = seq.next();
      before.reset();
      continue;
    }
    // It may be this one that is damaged, or the chain that is stored with the one before.
    if (before && !leads(log, *before, *entry)) from = seq.next();
    before = entry->chain;
    // No entry leads to the chain that an epoch begins with.
    if (known) before.reset();
  }
  return from;
}

}  // namespace csa
