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

std::string content_of_file(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

}  // namespace

SimDisk*& SimDisk::living() {
  static thread_local SimDisk* disk = nullptr;
  return disk;
}

SimDisk& SimDisk::present() {
  CSA_CHECK(living() != nullptr);
  return *living();
}

ino_t SimDisk::inode_of(const std::string& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 ? about.st_ino : 0;
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
  computer.lost_power = cut;
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
  if (on_buried) on_buried(party);
}

}  // namespace csa::sim
