// A disk that fails when the test says so: SQLite's default VFS with reads, writes and syncs that
// answer an error. While one lives, every database opened anew goes through it. One at a time.
#pragma once

#include <sqlite3.h>

#include <map>
#include <utility>

#include "common/check.h"

namespace csa::test {

class FaultyDisk {
 public:
  FaultyDisk() : real_(sqlite3_vfs_find(nullptr)), vfs_(*real_) {
    CSA_CHECK(present() == nullptr);
    present() = this;
    vfs_.zName = "csa-faulty";
    vfs_.pNext = nullptr;
    vfs_.xOpen = open;
    CSA_CHECK(sqlite3_vfs_register(&vfs_, 1) == SQLITE_OK);
  }
  ~FaultyDisk() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
    present() = nullptr;
  }
  FaultyDisk(const FaultyDisk&) = delete;
  FaultyDisk& operator=(const FaultyDisk&) = delete;

  // After so many more good calls all fail with the code; 0: the disk is sound.
  void fail_writes(int code, int after = 0) {
    write_code_ = code;
    writes_left_ = after;
    failed_ = false;
  }
  // A write since fail_writes(), or the read of fail_one_read().
  [[nodiscard]] bool has_failed() const { return failed_; }
  void fail_syncs(int code) { sync_code_ = code; }
  [[nodiscard]] int syncs() const { return syncs_; }
  // Where the WAL's index grows.
  void fail_growth(int code) { growth_code_ = code; }
  void fail_reads(int code) { read_code_ = code; }
  // After so many more good ones.
  void fail_one_read(int code, int after) {
    fail_reads(code);
    reads_left_ = after;
    one_read_ = true;
    failed_ = false;
  }
  void mend() {
    write_code_ = sync_code_ = read_code_ = growth_code_ = SQLITE_OK;
    reads_left_ = 0;
    one_read_ = false;
  }

 private:
  static FaultyDisk*& present() {
    static FaultyDisk* disk = nullptr;
    return disk;
  }
  // Tables of methods outlive every disk: SQLite may close a file later.
  static sqlite3_io_methods* patched(const sqlite3_io_methods* real) {
    static std::map<const sqlite3_io_methods*, sqlite3_io_methods> tables;
    const auto [entry, added] = tables.try_emplace(real, *real);
    if (added) {
      entry->second.xRead = read;
      entry->second.xWrite = write;
      entry->second.xSync = sync;
      entry->second.xShmMap = map;
      originals()[&entry->second] = real;
    }
    return &entry->second;
  }
  static std::map<const sqlite3_io_methods*, const sqlite3_io_methods*>& originals() {
    static std::map<const sqlite3_io_methods*, const sqlite3_io_methods*> table;
    return table;
  }

  static int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
    const int code = present()->real_->xOpen(present()->real_, name, file, flags, out);
    constexpr int kKept = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL;
    if (code == SQLITE_OK && (flags & kKept) != 0) file->pMethods = patched(file->pMethods);
    return code;
  }
  static int read(sqlite3_file* file, void* bytes, int size, sqlite3_int64 offset) {
    FaultyDisk* const disk = present();
    if (disk != nullptr && disk->read_code_ != SQLITE_OK && disk->reads_left_-- <= 0) {
      if (!disk->one_read_) return disk->read_code_;
      disk->failed_ = true;
      return std::exchange(disk->read_code_, SQLITE_OK);
    }
    return originals().at(file->pMethods)->xRead(file, bytes, size, offset);
  }
  static int write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
    FaultyDisk* const disk = present();
    if (disk != nullptr && disk->write_code_ != SQLITE_OK && disk->writes_left_-- <= 0) {
      disk->failed_ = true;
      return disk->write_code_;
    }
    return originals().at(file->pMethods)->xWrite(file, bytes, size, offset);
  }
  static int sync(sqlite3_file* file, int flags) {
    FaultyDisk* const disk = present();
    if (disk != nullptr && disk->sync_code_ != SQLITE_OK) return disk->sync_code_;
    if (disk != nullptr) ++disk->syncs_;
    return originals().at(file->pMethods)->xSync(file, flags);
  }

  static int map(sqlite3_file* file, int region, int size, int extend, void volatile** out) {
    FaultyDisk* const disk = present();
    if (disk != nullptr && disk->growth_code_ != SQLITE_OK && extend != 0 && region > 0) {
      return disk->growth_code_;
    }
    return originals().at(file->pMethods)->xShmMap(file, region, size, extend, out);
  }

  sqlite3_vfs* real_;
  sqlite3_vfs vfs_;
  int write_code_ = SQLITE_OK;
  int writes_left_ = 0;
  bool failed_ = false;
  int sync_code_ = SQLITE_OK;
  int syncs_ = 0;
  int growth_code_ = SQLITE_OK;
  int read_code_ = SQLITE_OK;
  int reads_left_ = 0;
  bool one_read_ = false;
};

}  // namespace csa::test
