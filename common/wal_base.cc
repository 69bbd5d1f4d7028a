#include "common/wal_base.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace csa {
namespace {

// The -wal (SQLite's fileformat2.html, "The Write-Ahead Log"): a header, then frames, each a header
// and a page. A frame whose salts are not the header's is of an earlier use of the file.
constexpr std::size_t kWalHeader = 32;
constexpr std::size_t kFrameHeader = 24;
constexpr std::size_t kPageSizeAt = 8;
constexpr std::size_t kWalSaltsAt = 16;
constexpr std::size_t kCommitSizeAt = 4;  // pages of the file after the commit; 0: no commit
constexpr std::size_t kFrameSaltsAt = 8;
constexpr std::size_t kSalts = 8;

class WalFile {
 public:
  // SQLite has no lock on a -wal that closing it would drop.
  explicit WalFile(const std::string& path) : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~WalFile() {
    if (file_ >= 0) ::close(file_);
  }
  WalFile(const WalFile&) = delete;
  WalFile& operator=(const WalFile&) = delete;
  [[nodiscard]] bool read(std::uint64_t offset, std::span<std::uint8_t> to) const {
    return file_ >= 0 && ::pread(file_, to.data(), to.size(), static_cast<off_t>(offset)) ==
                             static_cast<ssize_t>(to.size());
  }

 private:
  int file_;
};

std::uint32_t big_endian(const std::uint8_t* from) {
  return std::uint32_t{from[0]} << 24U | std::uint32_t{from[1]} << 16U |
         std::uint32_t{from[2]} << 8U | std::uint32_t{from[3]};
}

// At least as many as SQLite finds: what was torn at the end may be counted too.
std::int64_t commits_in(const std::string& wal) {
  const WalFile file(wal);
  std::array<std::uint8_t, kWalHeader> header{};
  if (!file.read(0, header)) return 0;
  const std::uint64_t step = kFrameHeader + big_endian(header.data() + kPageSizeAt);
  std::array<std::uint8_t, kFrameHeader> frame{};
  std::int64_t commits = 0;
  for (std::uint64_t at = kWalHeader; file.read(at, frame); at += step) {
    if (!std::equal(frame.begin() + kFrameSaltsAt, frame.begin() + kFrameSaltsAt + kSalts,
                    header.begin() + kWalSaltsAt)) {
      break;
    }
    if (big_endian(frame.data() + kCommitSizeAt) != 0) ++commits;
  }
  return commits;
}

struct Stand {
  std::string database;
  std::string epoch;
  std::int64_t commits = 0;
  std::int64_t seq = 0;  // 0: no copy yet
};

// Nothing: it cannot be read, or nobody has counted.
std::optional<Stand> read_stand(sqlite3* db) {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v2(db,
                                      "SELECT key, hex(value), value FROM csa_meta WHERE key IN"
                                      " ('db', 'epoch', 'commits', 'seq')",
                                      -1, &raw, nullptr);
  const std::unique_ptr<sqlite3_stmt, decltype(&sqlite3_finalize)> rows(raw, sqlite3_finalize);
  if (code != SQLITE_OK) return std::nullopt;
  Stand stand;
  bool counted = false;
  int step = SQLITE_ROW;
  while ((step = sqlite3_step(raw)) == SQLITE_ROW) {
    const std::string key = reinterpret_cast<const char*>(sqlite3_column_text(raw, 0));
    if (key == "db") stand.database = reinterpret_cast<const char*>(sqlite3_column_text(raw, 1));
    if (key == "epoch") stand.epoch = reinterpret_cast<const char*>(sqlite3_column_text(raw, 1));
    if (key == "commits") {
      counted = true;
      stand.commits = sqlite3_column_int64(raw, 2);
    }
    if (key == "seq") stand.seq = sqlite3_column_int64(raw, 2);
  }
  if (step != SQLITE_DONE || !counted) return std::nullopt;
  return stand;
}

// SQLite looks at no -wal of a file that it is told never changes.
std::optional<Stand> read_alone(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '?' || c == '#' || c == '%') {
      constexpr std::string_view kHex = "0123456789ABCDEF";
      const auto byte = static_cast<unsigned char>(c);
      uri += {'%', kHex[byte >> 4U], kHex[byte & 15U]};
    } else {
      uri += c;
    }
  }
  uri += "?immutable=1";
  sqlite3* raw = nullptr;
  const int code =
      sqlite3_open_v2(uri.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, nullptr);
  const std::unique_ptr<sqlite3, decltype(&sqlite3_close)> db(raw, sqlite3_close);
  if (code != SQLITE_OK) return std::nullopt;
  return read_stand(raw);
}

std::string do_not_fit(const std::string& path, const std::string& found) {
  return path + " and " + path + "-wal do not belong together: " + found +
         ". SQLite would mix both, so nothing was done. Put back the two files that belong "
         "together";
}

}  // namespace

CommitCount::CommitCount(const Database& db)
    : add_(db,
           "INSERT INTO main.csa_meta VALUES ('commits', 1) ON CONFLICT (key) DO UPDATE SET value"
           " = value + 1") {}

void sync_wal(const Database& db) {
  sqlite3_file* wal = nullptr;
  sqlite3_file_control(db.handle(), "main", SQLITE_FCNTL_JOURNAL_POINTER, static_cast<void*>(&wal));
  if (wal == nullptr || wal->pMethods == nullptr) return;
  const int code = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
  if (code != SQLITE_OK) throw_sqlite(db.handle(), code, "sync the -wal");
}

std::int64_t commits_of(const Database& db) {
  return db.query_int("SELECT value FROM csa_meta WHERE key = 'commits'").value_or(0);
}

std::int64_t commits_at_most(const Database& db, const std::string& path) {
  try {
    return commits_of(db);
  } catch (const SqliteError& error) {
    if (!is_damage(error)) throw;
  }
  const std::optional<Stand> alone = read_alone(path);
  return alone ? alone->commits + commits_in(path + "-wal") : 0;
}

void set_commits(const Database& db, std::int64_t commits) {
  Statement set = db.prepare("INSERT OR REPLACE INTO csa_meta VALUES ('commits', ?1)");
  set.bind(1, commits).run();
}

CountedTransaction::CountedTransaction(const Database& db, CommitCount& count)
    : db_(db),
      count_(count),
      transaction_(db),
      written_before_(sqlite3_total_changes64(db.handle())) {}

void CountedTransaction::commit() {
  if (sqlite3_total_changes64(db_.handle()) != written_before_) count_.add();
  transaction_.commit();
}

std::optional<std::string> wal_mismatch(const Database& db, const std::string& path, WalOf of) {
  // While somebody reads what the -wal holds, it is not begun anew, nor more written to the file.
  std::optional<ReadTransaction> reading;
  if (!db.in_transaction()) reading.emplace(db);
  const std::optional<Stand> both = read_stand(db.handle());
  const std::int64_t in_wal = commits_in(path + "-wal");
  if (!both || in_wal == 0) return std::nullopt;
  const std::optional<Stand> alone = read_alone(path);
  const bool master = of == WalOf::kMaster;
  if (!alone || (master && alone->database.empty())) return std::nullopt;
  if (master && both->database != alone->database) {
    return do_not_fit(path, "they are of two databases");
  }
  Statement known = db.prepare("SELECT 1 FROM csa_epoch WHERE hex(id) = ?1");
  if (master && !known.bind(1, alone->epoch).step()) {
    return do_not_fit(path, "the file is of a history that the -wal does not know");
  }
  const std::string stands = "the file stands at commit " + std::to_string(alone->commits) +
                             " (seq " + std::to_string(alone->seq) + "), the -wal ";
  if (alone->commits > both->commits) {
    return do_not_fit(path, stands + "ends with an earlier one, commit " +
                                std::to_string(both->commits) + ": it is of an older copy");
  }
  if (alone->commits < both->commits - in_wal) {
    return do_not_fit(path, stands + "begins after commit " +
                                std::to_string(both->commits - in_wal) + " and leads to seq " +
                                std::to_string(both->seq) + ": the file is an older copy");
  }
  return std::nullopt;
}

}  // namespace csa
