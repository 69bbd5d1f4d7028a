// The calls of SQLite that come to the simulated disks.
#include <fcntl.h>

#include <algorithm>
#include <cstdarg>
#include <cstring>

#include "common/check.h"
#include "common/planted.h"
#include "tests/sim/sim_disk.h"

namespace csa::sim {
namespace {

using Table = std::map<const sqlite3_io_methods*, sqlite3_io_methods>;
using Originals = std::map<const sqlite3_io_methods*, const sqlite3_io_methods*>;

// Tables of methods outlive every disk: SQLite may close a file later.
Originals& originals() {
  static thread_local Originals table;
  return table;
}

const sqlite3_io_methods* original(sqlite3_file* file) { return originals().at(file->pMethods); }

// Locks of files: what one process takes does not keep itself out, and SQLite keeps its connections
// apart by what it remembers of them. So the kernel need not be asked.
int lock_nothing(int file, int command, ...) {
  std::va_list rest;
  va_start(rest, command);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  if (command == F_SETLK || command == F_SETLKW) return 0;
  if (command == F_GETLK) {
    static_cast<struct flock*>(argument)->l_type = F_UNLCK;
    return 0;
  }
  return ::fcntl(file, command, argument);
}

void use_for_locks(sqlite3_vfs* vfs, int (*call)(int, int, ...)) {
  CSA_CHECK(vfs->xSetSystemCall(vfs, "fcntl", reinterpret_cast<sqlite3_syscall_ptr>(call)) ==
            SQLITE_OK);
}

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
      entry->second.xFileSize = size;
      entry->second.xClose = close;
      originals()[&entry->second] = real;
    }
    return &entry->second;
  }
  // Null: nobody's, or the disks are gone.
  static Open* known(sqlite3_file* file) {
    SimDisk* const disk = living();
    if (disk == nullptr) return nullptr;
    const auto open = disk->open_.find(file);
    return open == disk->open_.end() ? nullptr : &open->second;
  }
  // SQLITE_OK, or how the operation fails.
  static int operate(const Open* open, Kind kind, int code) {
    return open != nullptr && open->subject ? living()->operate(open->party, kind, code)
                                            : SQLITE_OK;
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
    const ino_t inode = inode_of(name);
    // No broker's start leaves a full copy in the spool, so nothing of it is remembered.
    const bool spooled = std::strstr(name, ".csa-spool") != nullptr;
    const bool download = std::string_view(name).ends_with("-csa-copy");
    disk.open_[file] = {party, subject, spooled ? 0 : inode,
                        spooled || download ? nullptr : disk.memory_of(inode, name)};
    // Synced when it was whole, and not through here.
    if (download) disk.unsynced_.erase(inode);
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
    const Open* const open = known(file);
    const int code = operate(open, kRead, SQLITE_IOERR_READ);
    return code != SQLITE_OK ? code : read_really(open, file, bytes, size, offset);
  }
  static int read_really(const Open* open, sqlite3_file* file, void* bytes, int size,
                         sqlite3_int64 offset) {
    return open != nullptr && open->memory != nullptr
               ? open->memory->read(bytes, size, offset)
               : original(file)->xRead(file, bytes, size, offset);
  }
  static int write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
    const Open* const open = known(file);
    int code = operate(open, kWrite, SQLITE_IOERR_WRITE);
    if (code != SQLITE_OK) return code;
    if (open != nullptr) remember(*open, file, offset, size);
    code = original(file)->xWrite(file, bytes, size, offset);
    if (code == SQLITE_OK && open != nullptr && open->memory != nullptr) {
      open->memory->lengthen(offset + size);
    }
    return code;
  }
  // No computer that runs this loses power: that its kernel has the bytes is enough.
  static int sync(sqlite3_file* file, int) {
    const Open* const open = known(file);
    const int code = operate(open, kSync, SQLITE_IOERR_FSYNC);
    if (code == SQLITE_OK && open != nullptr) living()->unsynced_.erase(open->inode);
    return code;
  }
  static int truncate(sqlite3_file* file, sqlite3_int64 size) {
    const Open* const open = known(file);
    int code = operate(open, kTruncate, SQLITE_IOERR_TRUNCATE);
    if (code != SQLITE_OK) return code;
    sqlite3_int64 before = 0;
    Methods::size(file, &before);
    if (open != nullptr && before > size) remember(*open, file, size, before - size);
    code = original(file)->xTruncate(file, size);
    if (code == SQLITE_OK && open != nullptr && open->memory != nullptr) open->memory->cut(size);
    return code;
  }
  static int size(sqlite3_file* file, sqlite3_int64* bytes) {
    const Open* const open = known(file);
    if (open == nullptr || open->memory == nullptr) return original(file)->xFileSize(file, bytes);
    *bytes = open->memory->size();
    return SQLITE_OK;
  }
  // What the file holds at a place where it is about to be changed.
  static void remember(const Open& open, sqlite3_file* file, sqlite3_int64 offset,
                       sqlite3_int64 length) {
    if (open.inode == 0) return;
    Unsynced before;
    before.offset = offset;
    size(file, &before.size);
    length = std::clamp<sqlite3_int64>(before.size - offset, 0, length);
    before.bytes.resize(static_cast<std::size_t>(length));
    if (length > 0) {
      (void)read_really(&open, file, before.bytes.data(), static_cast<int>(length), offset);
    }
    living()->unsynced_[open.inode].push_back(std::move(before));
  }
};

std::shared_ptr<MappedFile> SimDisk::memory_of(ino_t inode, const std::string& path) {
  std::weak_ptr<MappedFile>& known = memory_[inode];
  std::shared_ptr<MappedFile> memory = known.lock();
  if (memory != nullptr) return memory;
  memory = std::make_shared<MappedFile>(path);
  if (!memory->works()) return nullptr;
  known = memory;
  return memory;
}

SimDisk::SimDisk(World& world, std::string folder)
    : world_(world), folder_(std::move(folder)), real_(sqlite3_vfs_find("unix")), vfs_(*real_) {
  CSA_CHECK(living() == nullptr && real_ != nullptr);
  living() = this;
  use_for_locks(real_, lock_nothing);
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
  use_for_locks(real_, nullptr);
  living() = nullptr;
}

}  // namespace csa::sim
