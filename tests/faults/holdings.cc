#include "tests/faults/holdings.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>

namespace csa::fault_test {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMiB = 1024U * 1024;

std::size_t bytes_inside(const std::string& database) {
  return static_cast<std::size_t>(system_test::count_of(
      database, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"));
}

void add_files(const std::string& folder, Holdings& now) {
  std::error_code gone;
  for (const auto& entry : fs::recursive_directory_iterator(folder, gone)) {
    ++now.files;
    const std::string name = entry.path().string();
    if (name.ends_with("-wal") || name.ends_with("-shm") || !entry.is_regular_file(gone)) continue;
    now.bytes += name.ends_with(".db") ? bytes_inside(name) : bytes_of(name);
  }
}

std::string kib(std::size_t bytes) { return std::to_string(bytes / 1024) + " KiB"; }

}  // namespace

Holdings holdings_of(const system_test::Place& place, const std::string& replica,
                     const std::map<std::string, pid_t>& programs) {
  Holdings now;
  for (const auto& [name, pid] : programs) now.programs[name] = held_by(pid);
  now.master = bytes_inside(place.master());
  now.master_wal = bytes_of(place.master() + "-wal");
  now.replica = bytes_inside(place.file(replica));
  now.replica_wal = bytes_of(place.file(replica) + "-wal");
  now.log = static_cast<std::size_t>(
      system_test::count_of(place.master(), "SELECT coalesce(sum(length(body)), 0) FROM csa_log"));
  add_files(place.folder(), now);
  return now;
}

Holdings most_of(const std::vector<Holdings>& looks) {
  Holdings most = looks.at(0);
  for (const Holdings& look : looks) {
    for (const auto& [name, held] : look.programs) {
      Held& program = most.programs[name];
      program.memory_kib = std::max(program.memory_kib, held.memory_kib);
      program.files = std::max(program.files, held.files);
    }
    most.master = std::max(most.master, look.master);
    most.master_wal = std::max(most.master_wal, look.master_wal);
    most.replica = std::max(most.replica, look.replica);
    most.replica_wal = std::max(most.replica_wal, look.replica_wal);
    most.log = std::max(most.log, look.log);
    most.files = std::max(most.files, look.files);
    most.bytes = std::max(most.bytes, look.bytes);
  }
  return most;
}

std::string words_of(const Holdings& holdings) {
  std::string text;
  for (const auto& [name, held] : holdings.programs) {
    text += name + " " + std::to_string(held.memory_kib) + " KiB, " + std::to_string(held.files) +
            " files; ";
  }
  return text + "master " + kib(holdings.master) + " (-wal " + kib(holdings.master_wal) + ", log " +
         kib(holdings.log) + "); replica " + kib(holdings.replica) + " (-wal " +
         kib(holdings.replica_wal) + "); folder " + std::to_string(holdings.files) + " files, " +
         kib(holdings.bytes) + " without -wal";
}

void check_steady(const Holdings& first, const Holdings& last) {
  for (const auto& [name, held] : last.programs) {
    CAPTURE(name);
    const Held& before = first.programs.at(name);
    CHECK(before.memory_kib > 0);
    CHECK(held.memory_kib <= before.memory_kib + 6 * 1024);
    CHECK(held.files <= before.files + 4);
  }
  // A -wal is written from its begin again once it has this size; a short run does not come there.
  constexpr std::size_t kUsualWal = 64 * kMiB;
  CHECK(last.master_wal <= std::max(first.master_wal, kUsualWal) + 16 * kMiB);
  CHECK(last.replica_wal <= std::max(first.replica_wal, kUsualWal) + 16 * kMiB);
  CHECK(last.log <= 2 * kMiB);
  CHECK(last.master <= first.master + 2 * kMiB);
  CHECK(last.replica <= first.replica + 2 * kMiB);
  CHECK(last.files <= first.files);
  CHECK(last.bytes <= first.bytes + 8 * kMiB);
}

}  // namespace csa::fault_test
