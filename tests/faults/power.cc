#include "tests/faults/power.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <new>
#include <sstream>

#include "common/check.h"
#include "common/sqlite.h"
#include "tests/support/power_log.h"

namespace csa::fault_test {

namespace fs = std::filesystem;

// A computer's log, empty at first, and the deleted files beside it.
class PowerLog {
 public:
  explicit PowerLog(std::string path) : path_(std::move(path)), held_(path_ + test::kPowerHeld) {
    fs::create_directory(held_);
    const int file = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CSA_CHECK(file >= 0);
    CSA_CHECK(::ftruncate(file, static_cast<off_t>(test::kPowerLogSize)) == 0);
    map_ = ::mmap(nullptr, test::kPowerLogSize, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::close(file);
    CSA_CHECK(map_ != MAP_FAILED);
    head_ = ::new (map_) test::PowerLogHead{};
    pthread_mutexattr_t kind;
    ::pthread_mutexattr_init(&kind);
    ::pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
    ::pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    CSA_CHECK(::pthread_mutex_init(&head_->lock, &kind) == 0);
    ::pthread_mutexattr_destroy(&kind);
  }
  ~PowerLog() { ::munmap(map_, test::kPowerLogSize); }
  PowerLog(const PowerLog&) = delete;
  PowerLog& operator=(const PowerLog&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::string& held() const { return held_; }
  [[nodiscard]] std::string_view records() const {
    return {static_cast<const char*>(map_) + test::kPowerRecords, head_->end.load()};
  }
  void clear() {
    head_->end = 0;
    for (const auto& entry : fs::directory_iterator(held_)) fs::remove(entry.path());
  }

 private:
  const std::string path_;
  const std::string held_;
  void* map_ = nullptr;
  test::PowerLogHead* head_ = nullptr;
};

namespace {

constexpr const char* kLibrary = CSA_POWER_LIBRARY;

// 0: it has gone.
test::Inode inode_of(const fs::path& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 ? about.st_ino : 0;
}

test::Names names_in(const std::string& folder) {
  test::Names names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file() || entry.is_symlink()) continue;
    // Other computers' programs live.
    const test::Inode inode = inode_of(entry.path());
    if (inode != 0) names[entry.path().string()] = inode;
  }
  return names;
}

std::string content_of(const std::string& path) {
  const std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

// Some name of each.
std::map<test::Inode, std::string> paths_of(const PowerLog& log, const test::Names& names) {
  std::map<test::Inode, std::string> paths;
  for (const auto& [name, inode] : names_in(log.held())) paths[inode] = name;
  for (const auto& [name, inode] : names) paths[inode] = name;
  return paths;
}

void rename_all(const PowerLog& log, const test::Names& now, const test::Names& then) {
  const auto paths = paths_of(log, now);
  std::map<std::string, std::string> returning;  // name, and a name that stays meanwhile
  for (const auto& [name, inode] : then) {
    const auto same = now.find(name);
    if (same != now.end() && same->second == inode) continue;
    CSA_CHECK(paths.contains(inode));
    const std::string held = log.held() + "/" + std::to_string(inode);
    if (!fs::exists(held)) fs::create_hard_link(paths.at(inode), held);
    returning[name] = held;
  }
  for (const auto& [name, inode] : now) {
    if (returning.contains(name) || !then.contains(name)) fs::remove(name);
  }
  for (const auto& [name, held] : returning) fs::create_hard_link(held, name);
}

test::Forgotten play(const PowerLog& log, const std::string& folder, std::uint64_t seed) {
  const test::Recorded recorded = test::read_power_log(log.records());
  test::Forgetter forgetter(seed);
  for (const std::string& name : recorded.shared) fs::remove(name);
  const test::Names now = names_in(folder);
  const auto paths = paths_of(log, now);
  for (const auto& [inode, changes] : recorded.changes) {
    const auto path = paths.find(inode);
    if (path == paths.end()) continue;  // it had no name when it was written
    const std::string left = forgetter.content(content_of(path->second), changes, forgetter.way());
    std::ofstream(path->second, std::ios::binary | std::ios::trunc) << left;
  }
  test::Names then = now;
  test::undo_names(then, recorded, forgetter.kept_names(recorded));
  rename_all(log, now, then);
  return forgetter.forgotten();
}

// A copy is opened, with its -wal: the file itself stays as it was left.
void check_whole(const std::string& database) {
  const ScratchFolder aside;
  const std::string copy = aside.file("left.db");
  for (const char* const suffix : {"", "-wal"}) {
    if (fs::exists(database + suffix)) fs::copy_file(database + suffix, copy + suffix);
  }
  CAPTURE(database);
  try {
    CHECK(Database(copy, Database::Mode::kCreate).query_text("PRAGMA integrity_check") == "ok");
  } catch (const SqliteError& error) {
    FAIL_CHECK(error.what());
  }
}

Power::Computer computer_of(const std::string& program) {
  const std::string name = fs::path(program).filename().string();
  return name == "csa-broker" ? Power::Computer::kBroker
         : name == "csa-node" ? Power::Computer::kNode
                              : Power::Computer::kOther;
}

}  // namespace

Power::Power(system_test::Place& place, const std::vector<Computer>& computers)
    : folder_(place.folder()) {
  for (const Computer computer : computers) {
    const std::string name = std::to_string(static_cast<int>(computer));
    computers_[computer] = std::make_unique<PowerLog>(logs_.file(name));
  }
  place.set_change([this](system_test::Launch& launch) {
    const Computer computer = computer_of(launch.command[0]);
    if (computers_.contains(computer)) launch = on(computer, launch);
  });
}

system_test::Launch Power::on(Computer computer, system_test::Launch launch) const {
  launch.environment["LD_PRELOAD"] = kLibrary;
  launch.environment[test::kPowerLogVariable] = computers_.at(computer)->path();
  launch.environment[test::kPowerFolderVariable] = folder_;
  return launch;
}

Power::~Power() = default;

bool Power::recorded(Computer computer) const {
  return !computers_.at(computer)->records().empty();
}

test::Forgotten Power::cut(Computer computer, std::uint64_t seed) {
  PowerLog& log = *computers_.at(computer);
  const test::Forgotten forgotten = play(log, folder_, seed);
  log.clear();
  return forgotten;
}

Outage::Outage(system_test::Place& place, std::optional<std::uint64_t> seed,
               const std::vector<Power::Computer>& computers)
    : seed_(seed.value_or(0)) {
  if (seed) power_.emplace(place, computers);
}

system_test::Launch Outage::on(Power::Computer computer, system_test::Launch launch) const {
  return power_ ? power_->on(computer, std::move(launch)) : launch;
}

void Outage::cut(Power::Computer computer, Killed& row, const std::string& database) {
  if (power_) {
    const bool recorded = power_->recorded(computer);
    row.forgotten.add(power_->cut(computer, seed_++));
    if (recorded) ++row.cuts;
  }
  if (!database.empty() && fs::exists(database)) check_whole(database);
}

}  // namespace csa::fault_test
