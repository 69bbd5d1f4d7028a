// LogTable: rows of csa_log, key seq << 20 | part. Parts of an entry are numbered without gaps in
// the order of their offsets, so a part is found by bisection.
#include <algorithm>
#include <charconv>
#include <limits>

#include "common/check.h"
#include "common/limits.h"
#include "common/store_meta.h"

namespace csa {
namespace {

constexpr int kPartBits = 20;
constexpr std::string_view kSumKey = "log_bytes";  // in csa_meta

std::optional<Id128> id_of(const Bytes& bytes) {
  Id128 id;
  if (bytes.size() != id.bytes.size()) return std::nullopt;
  std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
  return id;
}

// One row of a statement, which is reset at the end: an open one would pin the WAL.
class OneRow {
 public:
  explicit OneRow(Statement& statement) : statement_(statement), there_(statement.step()) {}
  ~OneRow() { statement_.reset(); }
  OneRow(const OneRow&) = delete;
  OneRow& operator=(const OneRow&) = delete;
  explicit operator bool() const { return there_; }
  Statement* operator->() { return &statement_; }

 private:
  Statement& statement_;  // must outlive this
  bool there_;
};

}  // namespace

std::int64_t first_log_part(Seq seq) {
  CSA_CHECK(seq.value < std::uint64_t{1} << (62 - kPartBits));
  return static_cast<std::int64_t>(seq.value << kPartBits);
}

LogTable::LogTable(const Database& db)
    : db_(db),
      insert_(db, "INSERT OR REPLACE INTO csa_log VALUES (?1, ?2, ?3, ?4, ?5)"),
      span_(db, "SELECT offset, length(body) FROM csa_log WHERE part_id = ?1"),
      last_(db,
            "SELECT part_id FROM csa_log WHERE part_id >= ?1 AND part_id < ?2"
            " ORDER BY part_id DESC LIMIT 1"),
      body_(db, "SELECT offset, substr(body, ?2, ?3) FROM csa_log WHERE part_id = ?1"),
      entry_(db, "SELECT header, chain FROM csa_log WHERE part_id = ?1"),
      oldest_(db, "SELECT part_id FROM csa_log ORDER BY part_id LIMIT 1"),
      sum_(db,
           "SELECT sum(length(body) + ifnull(length(header), 0)) FROM csa_log"
           " WHERE part_id >= ?1 AND part_id < ?2"),
      erase_(db, "DELETE FROM csa_log WHERE part_id >= ?1 AND part_id < ?2"),
      ends_(db,
            "SELECT ifnull((SELECT min(part_id) FROM csa_log), -1) || ' ' ||"
            " ifnull((SELECT max(part_id) FROM csa_log), -1)") {}

std::uint64_t LogTable::bytes() {
  if (!bytes_) bytes_ = stored_sum();
  if (!bytes_) bytes_ = sum(0, std::numeric_limits<std::int64_t>::max());
  return *bytes_;
}

// First and last key: whoever appends or prunes without this sum moves one of them.
std::string LogTable::ends() {
  const OneRow row(ends_);
  return ends_.column_text(0);
}

// "BYTES FIRST LAST"
std::optional<std::uint64_t> LogTable::stored_sum() {
  Statement read = db_.prepare("SELECT value FROM csa_meta WHERE key = ?1");
  read.bind(1, kSumKey);
  if (!read.step()) return std::nullopt;
  const std::string stored = read.column_text(0);
  std::uint64_t bytes = 0;
  const char* const end = stored.data() + stored.size();
  const auto [rest, failed] = std::from_chars(stored.data(), end, bytes);
  if (failed != std::errc() || std::string(rest, end) != " " + ends()) return std::nullopt;
  return bytes;
}

void LogTable::save_sum() {
  const std::string now = std::to_string(bytes()) + " " + ends();
  Statement write = db_.prepare("INSERT OR REPLACE INTO csa_meta VALUES (?1, ?2)");
  write.bind(1, kSumKey).bind(2, now);
  write.run();
}

std::uint64_t LogTable::sum(std::int64_t from, std::int64_t to) {
  sum_.bind(1, from).bind(2, to);
  OneRow row(sum_);
  return row ? static_cast<std::uint64_t>(row->column_int(0)) : 0;
}

void LogTable::erase(std::int64_t from, std::int64_t to) {
  const std::uint64_t before = bytes();
  const std::uint64_t gone = sum(from, to);
  erase_.bind(1, from).bind(2, to);
  erase_.run();
  bytes_ = before - std::min(before, gone);
}

// The part that holds byte `offset`, or the last one if that ends before it; -1: no part at all.
std::int64_t LogTable::part_at(Seq seq, std::uint64_t offset) {
  const std::int64_t first = first_log_part(seq);
  std::int64_t high = 0;
  {
    last_.bind(1, first).bind(2, first_log_part(seq.next()));
    OneRow row(last_);
    if (!row) return -1;
    high = row->column_int(0);
  }
  const auto offset_of = [this](std::int64_t part) {
    span_.bind(1, part);
    OneRow row(span_);
    return row ? static_cast<std::uint64_t>(row->column_int(0)) : 0;
  };
  std::int64_t low = first;
  // The master's own parts are all of one size, so the guess is right.
  const auto guess =
      std::min(high, first + static_cast<std::int64_t>(std::min<std::uint64_t>(
                                 offset / limits::kPieceMax, std::uint64_t{1} << kPartBits)));
  if (offset_of(guess) <= offset) {
    low = guess;
    if (guess < high && offset_of(guess + 1) > offset) return guess;
  } else {
    high = guess - 1;
  }
  while (low < high) {
    const std::int64_t middle = low + (high - low + 1) / 2;
    if (offset_of(middle) <= offset) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

void LogTable::append(const LogPiece& piece) {
  const std::uint64_t bytes_before = bytes();
  const Seq seq = piece.header.seq;
  std::int64_t part = first_log_part(seq);
  std::uint64_t replaced = 0;
  const std::int64_t before = part_at(seq, piece.offset);
  if (before >= 0) {
    span_.bind(1, before);
    OneRow row(span_);
    const bool same = static_cast<std::uint64_t>(row->column_int(0)) == piece.offset;
    part = same ? before : before + 1;
    if (same) replaced = sum(part, part + 1);
  }
  CSA_CHECK(part < first_log_part(seq.next()));
  insert_.bind(1, part).bind(2, static_cast<std::int64_t>(piece.offset));
  std::size_t header_size = 0;
  if (part == first_log_part(seq)) {
    const Bytes header = encode_header(piece.header);
    header_size = header.size();
    insert_.bind_blob(3, header).bind_blob(4, piece.chain.value.bytes);
  } else {
    insert_.bind_null(3).bind_null(4);
  }
  insert_.bind_blob(5, piece.bytes);
  insert_.run();
  bytes_ = bytes_before - std::min(bytes_before, replaced) + piece.bytes.size() + header_size;
}

std::optional<LogPiece> LogTable::read(Seq seq, std::uint64_t offset, std::size_t max_bytes) {
  const std::optional<Entry> found = entry(seq);
  if (!found) return std::nullopt;
  const std::int64_t part = offset == 0 ? first_log_part(seq) : part_at(seq, offset);
  LogPiece piece{found->header, found->chain, offset, {}};
  std::uint64_t begin = 0;
  {
    span_.bind(1, part);
    OneRow row(span_);
    if (!row) return std::nullopt;
    begin = static_cast<std::uint64_t>(row->column_int(0));
    const auto length = static_cast<std::uint64_t>(row->column_int(1));
    if (offset < begin) return std::nullopt;
    // Beyond what is stored of it: only the end of the entry itself may be asked for.
    if (offset - begin >= length) {
      if (offset != piece.header.size) return std::nullopt;
      return piece;
    }
  }
  body_.bind(1, part)
      .bind(2, static_cast<std::int64_t>(offset - begin + 1))
      .bind(3, static_cast<std::int64_t>(std::min(max_bytes, limits::kFrameMax)));
  OneRow row(body_);
  if (!row) return std::nullopt;
  piece.bytes = row->column_blob(1);
  return piece;
}

std::uint64_t LogTable::stored(Seq seq) {
  const std::int64_t last = part_at(seq, std::numeric_limits<std::int64_t>::max());
  if (last < 0) return 0;
  span_.bind(1, last);
  OneRow row(span_);
  return row ? static_cast<std::uint64_t>(row->column_int(0) + row->column_int(1)) : 0;
}

std::optional<LogTable::Entry> LogTable::entry(Seq seq) {
  entry_.bind(1, first_log_part(seq));
  OneRow row(entry_);
  if (!row) return std::nullopt;
  Result<EntryHeader> header = decode_header(row->column_blob(0));
  const std::optional<Id128> chain = id_of(row->column_blob(1));
  if (!header || !chain) {
    throw SqliteError(SQLITE_CORRUPT,
                      "csa_log: entry " + std::to_string(seq.value) + " has no sound header");
  }
  return Entry{std::move(header).value(), Chain{*chain}};
}

Seq LogTable::prune(Seq floor, Seq head, std::uint64_t keep, std::size_t parts_max) {
  for (std::size_t parts = 0; parts < parts_max; ++parts) {
    std::int64_t part = 0;
    {
      OneRow row(oldest_);
      if (!row) return floor;
      part = row->column_int(0);
    }
    const Seq seq{static_cast<std::uint64_t>(part) >> kPartBits};
    if (seq >= floor) {
      if (seq >= head || bytes() <= keep) return floor;
      floor = seq.next();
    }
    erase(part, part + 1);
  }
  return floor;
}

void LogTable::erase_from(Seq seq) {
  erase(first_log_part(seq), std::numeric_limits<std::int64_t>::max());
}

bool LogTable::has_before(Seq floor) {
  OneRow row(oldest_);
  return row && row->column_int(0) < first_log_part(floor);
}

}  // namespace csa
