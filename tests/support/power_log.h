// The log in which tests/faults/power_recorder.cc keeps what a computer's programs do to its files,
// so that a power cut can forget it: a file that all of them map. What one that was killed has put
// there is whole: `end` moves once a record is complete, and before the recorded call is made.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>

namespace csa::test {

enum class PowerKind : std::uint8_t {
  kWrite,       // bytes that were there before
  kResize,      // the bytes behind the new size
  kSync,        // of a file
  kNames,       // for each name: inode before (0: none), length, the name
  kFolderSync,  // the folder's name
  kShared,      // the name of a shared memory file
};

// Followed by `bytes` bytes, and by nothing up to a multiple of eight.
struct PowerRecord {
  std::uint64_t inode;
  std::uint64_t offset;       // kResize: the new size
  std::uint64_t length;       // kWrite: of what is written
  std::uint64_t size_before;  // of the whole file
  std::uint32_t bytes;
  PowerKind kind;
};

// Names of a kNames record.
struct PowerName {
  std::uint64_t inode_before;
  std::uint64_t length;
};

// At the begin of the file; records from kPowerRecords on.
struct PowerLogHead {
  pthread_mutex_t lock;  // process-shared and robust: held from a record to its call's end
  std::atomic<std::uint64_t> end;  // of the last record, from kPowerRecords
};

inline constexpr std::uint64_t kPowerRecords = 4096;
inline constexpr std::uint64_t kPowerLogSize = std::uint64_t{1} << 30;  // sparse

// A deleted file is kept under its inode's number in the folder LOG + kPowerHeld.
inline constexpr const char* kPowerHeld = ".held";
inline constexpr const char* kPowerLogVariable = "CSA_POWER_LOG";
// Files below this folder are recorded.
inline constexpr const char* kPowerFolderVariable = "CSA_POWER_FOLDER";

}  // namespace csa::test
