#include "broker/spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "common/integrity.h"
#include "common/limits.h"
#include "common/page_map.h"
#include "common/planted.h"
#include "common/random.h"
#include "common/store_meta.h"

namespace csa {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".csa-spool";
constexpr int kPagesAStep = 4096;

Error no_copy(const std::string& path, const std::string& why) {
  return {Errc::kFailed, "cannot cut a full copy into " + path + ": " + why +
                             ". Its folder must be writable and have room for the whole database."};
}

struct CopyCloser {
  void operator()(sqlite3_backup* backup) const noexcept { sqlite3_backup_finish(backup); }
};

// Copies all pages. A read transaction on the source keeps its state through all steps; without it
// SQLite would begin anew after every commit of the ledger.
void copy_pages(const Database& source, const Database& copy) {
  const std::unique_ptr<sqlite3_backup, CopyCloser> backup(
      sqlite3_backup_init(copy.handle(), "main", source.handle(), "main"));
  if (!backup) throw_sqlite(copy.handle(), sqlite3_errcode(copy.handle()), "copy");
  int code = SQLITE_OK;
  while (code == SQLITE_OK) code = sqlite3_backup_step(backup.get(), kPagesAStep);
  if (code != SQLITE_DONE) throw SqliteError(code, std::string("copy: ") + sqlite3_errstr(code));
}

// A read transaction that ends with the scope.
class ReadView {
 public:
  explicit ReadView(const Database& db) : db_(db) {
    db_.exec("BEGIN");
    if (db_.query_int("SELECT count(*) FROM sqlite_schema") == 0) return;
  }
  ~ReadView() { sqlite3_exec(db_.handle(), "ROLLBACK", nullptr, nullptr, nullptr); }
  ReadView(const ReadView&) = delete;
  ReadView& operator=(const ReadView&) = delete;

 private:
  const Database& db_;
};

// A page that the disk keeps wrongly; rows that break rules of their schema are their owner's.
std::optional<std::string> broken_page(const Database& db) {
  db.exec("PRAGMA ignore_check_constraints=ON");
  std::vector<std::string> first = integrity_faults(db, IntegrityCheck::kQuick, 1);
  if (first.empty() || !first.front().starts_with("*** in database")) return std::nullopt;
  return std::move(first.front());
}

std::optional<std::string> fault_of(const Database& db) {
  std::optional<std::string> page = broken_page(db);
  return page ? page : unsound_row(db);
}

// Every replica would get it with the copy, and the next one again.
Status prove_pages(const Database& source, const Database& copy, const std::string& path) {
  const std::optional<std::string> fault = fault_of(copy);
  if (!fault) return Ok{};
  if (const auto own = fault_of(source)) throw SqliteError(SQLITE_CORRUPT, "copy: " + *own);
  return no_copy(path, "the disk keeps it wrongly (" + *fault + ")");
}

bool is_about_disk(int primary_code) {
  return primary_code == SQLITE_FULL || primary_code == SQLITE_IOERR ||
         primary_code == SQLITE_CANTOPEN || primary_code == SQLITE_READONLY ||
         primary_code == SQLITE_PERM;
}

// Makes the file for this user alone: it holds everybody's rows.
Status make_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return no_copy(path, std::strerror(errno));
  ::close(file);
  return Ok{};
}

}  // namespace

Result<Spool> Spool::cut(const Database& source, const std::string& directory) {
  std::error_code failed;
  fs::create_directories(directory, failed);
  if (failed) return no_copy(directory, failed.message());
  const Id128 id = random_id();
  Spool spool(directory + "/" + to_string(id) + std::string(kEnding));
  spool.info_.id = id;
  CSA_TRY(make_file(spool.path_));
  try {
    CSA_TRY(spool.fill(source));
  } catch (const SqliteError& error) {
    if (!is_about_disk(error.primary_code())) throw;
    return no_copy(spool.path_, error.what());
  }
  CSA_TRY(spool.measure());
  return spool;
}

Status Spool::fill(const Database& source) {
  Database copy(path_, Database::Mode::kReadWrite);
  // A torn copy is thrown away, so nothing needs a journal or a sync; secure_delete, because the
  // private rows must not be left in free pages.
  copy.exec("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA secure_delete=ON");
  {
    const ReadView view(source);
    copy_pages(source, copy);
    crash_point("spool: pages copied");
    CSA_TRY(prove_pages(source, copy, path_));
  }
  // From here on the file is in WAL mode, as the master is: its header says so.
  {
    Transaction transaction(copy);
    clear_private(copy);
    transaction.commit();
  }
  const Result<Meta> meta = read_meta(copy);
  if (!meta) return meta.error();
  info_.position = meta->position;
  // The last connection of a WAL database writes everything back and removes the log at its end;
  // asked for here by name, to see the error.
  copy.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  copy.close();
  std::error_code failed;
  if (fs::exists(path_ + "-wal", failed)) return no_copy(path_, "its write-ahead log remains");
  return Ok{};
}

// Blocks hold whole pages: both are powers of two.
Status Spool::measure() {
  file_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
  if (file_ < 0) return no_copy(path_, std::strerror(errno));
  Hasher hasher;
  Bytes map;
  Bytes block(limits::kMiB);
  while (true) {
    const ssize_t got = ::pread(file_, block.data(), block.size(), static_cast<off_t>(info_.total));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return no_copy(path_, std::strerror(errno));
    if (got == 0) break;
    const ByteView bytes = ByteView(block).first(static_cast<std::size_t>(got));
    if (info_.total == 0) info_.page_size = page_size_of(bytes);
    if (info_.page_size == 0 || bytes.size() % info_.page_size != 0) {
      return no_copy(path_, "it does not consist of whole pages");
    }
    hasher.update(bytes);
    append_page_hashes(bytes, info_.page_size, map);
    info_.total += bytes.size();
  }
  info_.hash = hasher.digest();
  return add_map(map);
}

Status Spool::add_map(ByteView map) const {
  std::size_t written = 0;
  while (written < map.size()) {
    const ssize_t put = ::pwrite(file_, map.data() + written, map.size() - written,
                                 static_cast<off_t>(info_.total + written));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return no_copy(path_, std::strerror(errno));
    written += static_cast<std::size_t>(put);
  }
  return Ok{};
}

std::optional<Bytes> Spool::read(bool map, std::uint64_t offset, std::size_t length) const {
  const std::uint64_t end = map ? info_.map_total() : info_.total;
  if (offset >= end) return Bytes{};
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(length, end - offset));
  Bytes bytes = read_at(map ? info_.total + offset : offset, size);
  if (!map && !is_as_cut(offset, bytes)) return std::nullopt;
  return bytes;
}

// By the map, for the whole pages among them.
bool Spool::is_as_cut(std::uint64_t offset, ByteView bytes) const {
  const std::uint64_t page = info_.page_size;
  const std::uint64_t first = (offset + page - 1) / page;
  const std::uint64_t last = (offset + bytes.size()) / page;
  if (first >= last) return true;
  const ByteView pages = bytes.subspan(static_cast<std::size_t>(first * page - offset),
                                       static_cast<std::size_t>((last - first) * page));
  Bytes hashes;
  append_page_hashes(pages, info_.page_size, hashes);
  return hashes == read_at(info_.total + first * kPageHash, hashes.size());
}

Bytes Spool::read_at(std::uint64_t start, std::size_t size) const {
  Bytes bytes(size);
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t got = ::pread(file_, bytes.data() + filled, bytes.size() - filled,
                                static_cast<off_t>(start + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw std::system_error(errno, std::generic_category(), "read " + path_);
    if (got == 0) throw std::system_error(EIO, std::generic_category(), path_ + " became shorter");
    filled += static_cast<std::size_t>(got);
  }
  return bytes;
}

void Spool::clear(const std::string& directory) {
  std::error_code failed;
  for (fs::directory_iterator at(directory, failed), end; !failed && at != end;
       at.increment(failed)) {
    // Also NAME.csa-spool-wal and its like.
    const std::string name = at->path().filename().string();
    std::error_code ignored;
    if (name.find(kEnding) == 2 * sizeof(Id128)) fs::remove(at->path(), ignored);
  }
}

Spool::Spool(Spool&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      file_(std::exchange(other.file_, -1)),
      info_(other.info_) {}

Spool& Spool::operator=(Spool&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(file_, other.file_);
  std::swap(info_, other.info_);
  return *this;
}

Spool::~Spool() {
  if (file_ >= 0) ::close(file_);
  if (path_.empty()) return;
  for (const char* const ending : {"", "-wal", "-shm", "-journal"}) {
    ::unlink((path_ + ending).c_str());
  }
}

}  // namespace csa
