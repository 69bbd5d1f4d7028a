#include "tests/sim/sim_disk.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/check.h"
#include "common/planted.h"

namespace csa::sim {
namespace {

namespace fs = std::filesystem;

constexpr sqlite3_int64 kSector = 512;
constexpr int kRareTimes = 4;
constexpr double kRareCrash = 12;

SimDisk*& living() {
  static thread_local SimDisk* disk = nullptr;
  return disk;
}

std::string content_of_file(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

ino_t inode_of(const std::string& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 ? about.st_ino : 0;
}

using Table = std::map<const sqlite3_io_methods*, sqlite3_io_methods>;
using Originals = std::map<const sqlite3_io_methods*, const sqlite3_io_methods*>;

// Tables of methods outlive every disk: SQLite may close a file later.
Originals& originals() {
  static thread_local Originals table;
  return table;
}

const sqlite3_io_methods* original(sqlite3_file* file) { return originals().at(file->pMethods); }

}  // namespace

struct SimDisk::Methods {
  static const sqlite3_io_methods* patched(const sqlite3_io_methods* real) {
    static thread_local Table tables;
    const auto [entry, added] = tables.try_emplace(real, *real);
    if (added) {
      entry->second.xRead = read;
      entry->second.xWrite = write;
      entry->second.xSync = sync;
      entry->second.xTruncate = truncate;
      entry->second.xClose = close;
      originals()[&entry->second] = real;
    }
    return &entry->second;
  }
  // SQLITE_OK, or how the operation fails.
  static int operate(sqlite3_file* file, Kind kind, int code) {
    SimDisk* const disk = living();
    if (disk == nullptr) return SQLITE_OK;
    const auto open = disk->open_.find(file);
    if (open == disk->open_.end() || !open->second.subject) return SQLITE_OK;
    return disk->operate(open->second.party, kind, code);
  }
  static int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
    SimDisk& disk = present();
    constexpr int kKept = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL;
    const int party = (flags & kKept) == 0 ? -1 : disk.party_of(name);
    const bool subject = party >= 0 && party == disk.working_;
    if (subject) {
      const int code = disk.operate(party, kOpen, SQLITE_CANTOPEN);
      if (code != SQLITE_OK) {
        file->pMethods = nullptr;
        return code;
      }
    }
    const int code = disk.real_->xOpen(disk.real_, name, file, flags, out);
    if (code != SQLITE_OK || party < 0) return code;
    file->pMethods = patched(file->pMethods);
    // No broker's start leaves a full copy in the spool, so nothing of it is remembered.
    const bool spooled = std::strstr(name, ".csa-spool") != nullptr;
    disk.open_[file] = {party, subject, spooled ? 0 : inode_of(name)};
    // Synced when it was whole, and not through here.
    if (std::string_view(name).ends_with("-csa-copy")) disk.unsynced_.erase(inode_of(name));
    return code;
  }
  static int remove(sqlite3_vfs*, const char* name, int sync_folder) {
    SimDisk& disk = present();
    const int party = disk.party_of(name);
    if (party >= 0 && party == disk.working_ && disk.dead(party)) return SQLITE_IOERR_DELETE;
    disk.unsynced_.erase(inode_of(name));  // the next file may get its number
    return disk.real_->xDelete(disk.real_, name, sync_folder);
  }
  // So that a seed's run is the same each time, down to the -wal's salts.
  static int randomness(sqlite3_vfs*, int size, char* bytes) {
    present().world_.fill(bytes, static_cast<std::size_t>(size));
    return size;
  }
  static int time(sqlite3_vfs*, sqlite3_int64* now) {
    constexpr sqlite3_int64 kJulianUnix = 210866760000000;  // 1970, in milliseconds
    *now = kJulianUnix + present().world_.wall().ms;
    return SQLITE_OK;
  }
  static int close(sqlite3_file* file) {
    if (living() != nullptr) living()->open_.erase(file);
    return original(file)->xClose(file);
  }
  static int read(sqlite3_file* file, void* bytes, int size, sqlite3_int64 offset) {
    const int code = operate(file, kRead, SQLITE_IOERR_READ);
    return code != SQLITE_OK ? code : original(file)->xRead(file, bytes, size, offset);
  }
  static int write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
    const int code = operate(file, kWrite, SQLITE_IOERR_WRITE);
    if (code != SQLITE_OK) return code;
    if (living() != nullptr) living()->remember(file, offset, size);
    return original(file)->xWrite(file, bytes, size, offset);
  }
  static int sync(sqlite3_file* file, int flags) {
    const int code = operate(file, kSync, SQLITE_IOERR_FSYNC);
    if (code != SQLITE_OK) return code;
    SimDisk* const disk = living();
    if (disk != nullptr && disk->open_.contains(file)) {
      disk->unsynced_.erase(disk->open_.at(file).inode);
    }
    return original(file)->xSync(file, flags);
  }
  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    const int code = operate(file, kTruncate, SQLITE_IOERR_TRUNCATE);
    if (code != SQLITE_OK) return code;
    sqlite3_int64 before = 0;
    original(file)->xFileSize(file, &before);
    if (living() != nullptr && before > size) living()->remember(file, size, before - size);
    return original(file)->xTruncate(file, size);
  }
};

SimDisk::SimDisk(World& world, std::string folder)
    : world_(world), folder_(std::move(folder)), real_(sqlite3_vfs_find("unix")), vfs_(*real_) {
  CSA_CHECK(living() == nullptr && real_ != nullptr);
  living() = this;
  vfs_.zName = "csa-sim";
  vfs_.pNext = nullptr;
  vfs_.xOpen = Methods::open;
  vfs_.xDelete = Methods::remove;
  vfs_.xRandomness = Methods::randomness;
  vfs_.xCurrentTimeInt64 = Methods::time;
  CSA_CHECK(sqlite3_vfs_register(&vfs_, 1) == SQLITE_OK);
  sqlite3_randomness(0, nullptr);  // drawn anew from this one
#ifdef CSA_PLANTED
  on_crash_point([](std::string_view label) { living()->cross(label); });
#endif
}

SimDisk::~SimDisk() {
#ifdef CSA_PLANTED
  on_crash_point({});
#endif
  sqlite3_vfs_unregister(&vfs_);
  sqlite3_vfs_register(real_, 1);
  living() = nullptr;
}

SimDisk& SimDisk::present() {
  CSA_CHECK(living() != nullptr);
  return *living();
}

SimDisk::Work::Work(int party, double crash_probability) {
  SimDisk& disk = present();
  CSA_CHECK(disk.working_ < 0);
  disk.working_ = party;
  disk.crash_probability_ = crash_probability;
}

SimDisk::Work::~Work() { present().working_ = -1; }

std::string SimDisk::folder(int party) const { return folder_ + "/" + std::to_string(party); }

int SimDisk::party_of(const char* path) const {
  if (path == nullptr || std::strncmp(path, folder_.c_str(), folder_.size()) != 0) return -1;
  const char* const rest = path + folder_.size();
  if (rest[0] != '/' || rest[1] < '0' || rest[1] > '9') return -1;
  return static_cast<int>(std::strtol(rest + 1, nullptr, 10));
}

void SimDisk::mend() {
  for (auto& [party, computer] : computers_) computer.failure = {};
}

void SimDisk::heal() {
  mend();
  for (auto& [party, computer] : computers_) computer.dies_after = UINT64_MAX;
}

// A spilled file has no name any more; SQLite's own calls do not come here.
int SimDisk::raw(int file, Kind kind) {
  SimDisk* const disk = living();
  if (disk == nullptr || disk->working_ < 0) return 0;
  const Computer& computer = disk->computers_[disk->working_];
  const bool armed = (computer.failure.kinds & kind) != 0 || computer.dies_after != UINT64_MAX;
  if (!armed && !computer.dead) return 0;
  std::error_code ignored;
  const std::string path = fs::read_symlink("/proc/self/fd/" + std::to_string(file), ignored);
  if (disk->party_of(path.c_str()) != disk->working_) return 0;
  const bool spilled = path.find("/csa-spill-") != std::string::npos;
  const bool spooled = path.find(".csa-spool") != std::string::npos;
  const std::string whose = spilled ? "spilled changes" : spooled ? "spool" : "download";
  const int code = disk->operate(disk->working_, kind, SQLITE_IOERR, whose);
  return code == SQLITE_OK ? 0 : code == SQLITE_FULL ? ENOSPC : EIO;
}

int SimDisk::operate(int party, Kind kind, int code, const std::string& whose) {
  Computer& computer = computers_[party];
  if (computer.dead) return code;
  if (computer.dies_after != UINT64_MAX && computer.dies_after-- == 0) {
    world_.note((party == 0 ? "B" : std::to_string(party)) + ": dies at an operation of its disk");
    ++world_.counts[party == 0 ? "broker dies at an operation" : "node dies at an operation"];
    die(party);
    return code;
  }
  Failure& failure = computer.failure;
  if ((failure.kinds & kind) == 0) return SQLITE_OK;
  if (failure.after > 0) {
    --failure.after;
    return SQLITE_OK;
  }
  const bool full = failure.full && (kind == kWrite || kind == kTruncate);
  ++world_.counts[std::string(party == 0 ? "broker" : "node") + "'s " + whose + ": " +
                  (full                ? "full"
                   : kind == kRead     ? "read failed"
                   : kind == kWrite    ? "write failed"
                   : kind == kSync     ? "sync failed"
                   : kind == kTruncate ? "cut failed"
                                       : "open failed")];
  computer.failed = true;
  if (!failure.for_good) failure = {};
  return full ? SQLITE_FULL : code;
}

void SimDisk::remember(sqlite3_file* file, sqlite3_int64 offset, sqlite3_int64 length) {
  const auto open = open_.find(file);
  if (open == open_.end() || open->second.inode == 0) return;
  Unsynced before;
  before.offset = offset;
  original(file)->xFileSize(file, &before.size);
  length = std::clamp<sqlite3_int64>(before.size - offset, 0, length);
  before.bytes.resize(static_cast<std::size_t>(length));
  if (length > 0) {
    original(file)->xRead(file, before.bytes.data(), static_cast<int>(length), offset);
  }
  unsynced_[open->second.inode].push_back(std::move(before));
}

void SimDisk::cross(std::string_view label) {
  if (working_ < 0 || computers_[working_].dead || crash_probability_ == 0) return;
  // Some places are passed a thousand times in a run, and others once.
  int& times = crossed_.try_emplace(std::string(label), 0).first->second;
  const double often = ++times <= kRareTimes ? kRareCrash : 1;
  if (!world_.chance(often * crash_probability_)) return;
  const std::string who = working_ == 0 ? "B" : std::to_string(working_);
  world_.note(who + ": crash point " + std::string(label));
  ++world_.counts["crash point " + std::string(label)];
  die(working_);
  throw SimCrash{};
}

void SimDisk::die(int party) {
  Computer& computer = computers_[party];
  if (computer.dead) return;
  computer.dead = true;
  computer.failure = {};
  computer.dies_after = UINT64_MAX;
  const bool cut = world_.chance(0.5);
  if (cut) ++world_.counts[party == 0 ? "power cut at the broker" : "power cut at a node"];
  fs::remove_all(grave(party));
  fs::copy(folder(party), grave(party), fs::copy_options::recursive);
  // In an order that does not depend on the file system's.
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder(party))) {
    if (entry.is_regular_file()) files.push_back(entry.path().string());
  }
  std::ranges::sort(files);
  for (const std::string& file : files) {
    const std::string left = grave(party) + file.substr(folder(party).size());
    // Nothing relies on what a crash leaves of it.
    const bool download = file.ends_with("-csa-copy");
    if (download && world_.chance(0.5)) flip_bits(left);
    auto history = unsynced_.extract(inode_of(file));
    if (!cut) {
      if (history.empty()) continue;
      history.key() = inode_of(left);
      unsynced_.insert(std::move(history));
      continue;
    }
    if (file.ends_with("-shm")) {
      fs::remove(left);
    } else if (download) {
      forget_tail(left);
    } else if (!history.empty()) {
      forget(left, std::move(history.mapped()));
    }
  }
}

// All that was not synced, or what came after some moment, or some of its sectors.
void SimDisk::forget(const std::string& path, History history) const {
  const std::uint64_t way = world_.random(3);
  const std::size_t kept =
      way == 1 ? static_cast<std::size_t>(world_.random(history.size() + 1)) : 0;
  const std::string written = content_of_file(path);
  std::string old = written;
  for (std::size_t i = history.size(); i > kept; --i) {
    const Unsynced& one = history[i - 1];
    const auto offset = static_cast<std::size_t>(one.offset);
    if (old.size() < offset + one.bytes.size()) old.resize(offset + one.bytes.size());
    old.replace(offset, one.bytes.size(), one.bytes);
    old.resize(static_cast<std::size_t>(one.size));
  }
  ++world_.counts[way == 0   ? "unsynced writes forgotten"
                  : way == 1 ? "last writes forgotten"
                             : "torn writes"];
  if (way == 2) {
    for (std::size_t at = 0; at < written.size(); at += kSector) {
      if (!world_.chance(0.5)) continue;
      const std::string sector = written.substr(at, kSector);
      if (old.size() < at + sector.size()) old.resize(at + sector.size());
      old.replace(at, sector.size(), sector);
    }
  }
  std::ofstream(path, std::ios::binary | std::ios::trunc) << old;
}

// Of a file that was written from its begin on without a sync, from some place on there is nothing,
// or zeros.
void SimDisk::forget_tail(const std::string& path) {
  const auto size = static_cast<std::uint64_t>(fs::file_size(path));
  if (size == 0) return;
  ++world_.counts["end of a download forgotten"];
  fs::resize_file(path, world_.random(size));
  if (world_.chance(0.5)) fs::resize_file(path, size);
}

std::uint64_t SimDisk::flip_bit(const std::string& path) {
  std::string bytes = content_of_file(path);
  if (bytes.empty()) return 0;
  auto at = static_cast<std::size_t>(world_.random(bytes.size()));
  // Most of a small file is zeros that nobody reads.
  const std::size_t used = bytes.find_first_not_of('\0', at);
  if (used != std::string::npos) at = used;
  bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(1U << world_.random(8)));
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  return at;
}

// Of a file that has a hash.
void SimDisk::flip_bits(const std::string& path) {
  for (std::uint64_t n = 1 + world_.random(8); n > 0; --n) (void)flip_bit(path);
  ++world_.counts["bits flipped in a download"];
}

void SimDisk::write_back(int party) {
  for (const auto& entry : fs::recursive_directory_iterator(folder(party))) {
    if (entry.is_regular_file()) unsynced_.erase(inode_of(entry.path().string()));
  }
}

void SimDisk::make_image(int party, const std::string& folder_to) const {
  fs::remove_all(folder_to);
  fs::copy(folder(party), folder_to, fs::copy_options::recursive);
}

void SimDisk::restore_image(int party, const std::string& folder_from) {
  if (!fs::exists(folder_from)) return;
  write_back(party);
  fs::remove_all(folder(party));
  fs::copy(folder_from, folder(party), fs::copy_options::recursive);
}

void SimDisk::bury(int party) {
  die(party);
  fs::remove_all(folder(party));
  fs::rename(grave(party), folder(party));
  computers_[party].dead = false;
}

}  // namespace csa::sim
