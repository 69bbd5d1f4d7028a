// What a power cut leaves: files and names after a cut, from the changes that were not synced.
#include "tests/support/power_replay.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "tests/support/power_log.h"

namespace csa::test::power_replay_test {
namespace {

using Way = Forgetter::Way;
using Changes = std::vector<FileChange>;

constexpr std::uint64_t kSeeds = 200;

FileChange write(std::string& content, std::uint64_t offset, const std::string& bytes) {
  FileChange change{false, offset, bytes.size(), content.size(), {}};
  if (offset < content.size()) change.old = content.substr(offset, bytes.size());
  content.resize(std::max<std::size_t>(content.size(), offset + bytes.size()));
  content.replace(offset, bytes.size(), bytes);
  return change;
}

FileChange cut(std::string& content, std::uint64_t size) {
  FileChange change{true, size, 0, content.size(), content.substr(size)};
  content.resize(size);
  return change;
}

std::set<std::string> results(const std::string& now, const Changes& changes, Way way) {
  std::set<std::string> all;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    all.insert(Forgetter(seed).content(now, changes, way));
  }
  return all;
}

// Records as the recorder puts them.
class Log {
 public:
  void add(PowerKind kind, Inode inode, const std::string& bytes, std::uint64_t length = 0) {
    const PowerRecord record{inode, 0, length, 0, static_cast<std::uint32_t>(bytes.size()), kind};
    bytes_.append(reinterpret_cast<const char*>(&record), sizeof record).append(bytes);
    bytes_.resize((bytes_.size() + 7) / 8 * 8);
  }
  void rename(const std::string& from, Inode inode, const std::string& to, Inode replaced) {
    add(PowerKind::kNames, 0, name(from, inode) + name(to, replaced));
  }
  void create(const std::string& path) { add(PowerKind::kNames, 0, name(path, 0)); }
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  static std::string name(const std::string& path, Inode inode) {
    const PowerName head{inode, path.size()};
    return std::string(reinterpret_cast<const char*>(&head), sizeof head) + path;
  }
  std::string bytes_;
};

}  // namespace

TEST_CASE("power: all forgotten, the file is what its last sync left") {
  const std::string before(3000, 'a');
  std::string now = before;
  const Changes changes{write(now, 100, std::string(700, 'b')), cut(now, 500),
                        write(now, 2000, std::string(9000, 'c'))};
  CHECK(results(now, changes, Way::kAll) == std::set<std::string>{before});
  Forgetter forgetter(1);
  (void)forgetter.content(now, changes, Way::kAll);
  CHECK(forgetter.forgotten().changes == 3);
  CHECK(forgetter.forgotten().bytes == 700 + 9000);
}

TEST_CASE("power: the last writes forgotten, the file is as it was at some moment") {
  std::string now(10, 'a');
  std::set<std::string> moments{now};
  Changes changes;
  for (const char c : {'b', 'c', 'd'}) {
    changes.push_back(write(now, static_cast<std::uint64_t>(c - 'a') * 4, std::string(6, c)));
    moments.insert(now);
  }
  changes.push_back(cut(now, 5));
  moments.insert(now);
  CHECK(results(now, changes, Way::kLast) == moments);
}

TEST_CASE("power: writes torn by sectors, each sector is old or new and all mixtures come") {
  std::string now(2048, 'a');
  const Changes changes{write(now, 0, std::string(2048, 'b'))};
  const std::set<std::string> all = results(now, changes, Way::kSectors);
  CHECK(all.size() == 16);
  for (const std::string& one : all) {
    for (std::size_t at = 0; at < 2048; at += 512) {
      CHECK(one.substr(at, 512) == std::string(512, one[at]));
    }
  }
  CHECK(results(now, changes, Way::kBlocks).size() == 2);
}

TEST_CASE("power: a write is kept and an earlier one is not, where both are in no order") {
  std::string now(20, 'a');
  const Changes changes{write(now, 0, "first"), write(now, 10, "second")};
  const std::set<std::string> all = results(now, changes, Way::kWrites);
  CHECK(all.size() == 4);
  CHECK(all.contains("aaaaaaaaaasecondaaaa"));
}

TEST_CASE("power: a cut forgotten, nothing is kept of what was written behind it later") {
  std::string now(2000, 'a');
  const Changes changes{cut(now, 0), write(now, 0, std::string(1000, 'b'))};
  for (const Way way : {Way::kWrites, Way::kSectors, Way::kBlocks}) {
    for (const std::string& one : results(now, changes, way)) {
      const bool kept_cut = one.size() <= 1000;
      CHECK((kept_cut || one == std::string(2000, 'a')));
      CHECK((!kept_cut || one.find('a') == std::string::npos));
    }
  }
}

TEST_CASE("power: a size kept without its bytes, they are zeros") {
  std::string now;
  const Changes changes{write(now, 0, std::string(600, 'b'))};
  const std::set<std::string> all = results(now, changes, Way::kSectors);
  CHECK(all.contains(""));
  CHECK(all.contains(std::string(600, '\0')));
  CHECK(all.contains(std::string(512, '\0') + std::string(88, 'b')));
  CHECK(all.contains(std::string(600, 'b')));
  CHECK(all.size() == 5);
}

TEST_CASE("power: the log's last write was never made, forgetting it changes nothing") {
  const std::string now = "as it is";
  const Changes changes{{false, 8, 100, now.size(), ""}};
  for (const Way way : {Way::kAll, Way::kLast, Way::kWrites, Way::kSectors, Way::kBlocks}) {
    CHECK(results(now, changes, way) == std::set<std::string>{now});
  }
}

TEST_CASE("power: a log is read, a synced file's changes last and others' do not") {
  Log log;
  log.add(PowerKind::kWrite, 1, "old", 3);
  log.add(PowerKind::kWrite, 2, "odd bytes", 9);
  log.add(PowerKind::kSync, 1, "");
  log.add(PowerKind::kWrite, 1, "", 7);
  log.add(PowerKind::kShared, 0, "/f/x-shm");
  const Recorded recorded = read_power_log(log.bytes());
  REQUIRE(recorded.changes.size() == 2);
  REQUIRE(recorded.changes.at(1).size() == 1);
  CHECK(recorded.changes.at(1)[0].length == 7);
  CHECK(recorded.changes.at(2)[0].old == "odd bytes");
  CHECK(recorded.shared == std::set<std::string>{"/f/x-shm"});
  for (const std::size_t missing : {3U, 9U, 30U}) {
    const std::string_view torn(log.bytes().data(), log.bytes().size() - missing);
    CHECK(read_power_log(torn).shared.empty());
  }
}

TEST_CASE("power: a folder synced, its names last and those that came before them too") {
  Log log;
  log.create("/f/a");
  log.create("/g/b");
  log.add(PowerKind::kFolderSync, 0, "/g");
  log.create("/f/c");
  const Recorded first = read_power_log(log.bytes());
  CHECK(first.names.size() == 3);
  CHECK(first.lasting == 2);
  log.add(PowerKind::kFolderSync, 0, "/g");
  CHECK(read_power_log(log.bytes()).lasting == 2);
  log.add(PowerKind::kFolderSync, 0, "/f");
  CHECK(read_power_log(log.bytes()).lasting == 3);
}

TEST_CASE("power: names are forgotten from the last one on, a replaced file has its name again") {
  Log log;
  log.create("/f/new");
  log.rename("/f/new", 2, "/f/db", 1);
  const Recorded recorded = read_power_log(log.bytes());
  const Names now{{"/f/db", 2}};
  const std::vector<Names> wanted{{{"/f/db", 1}}, {{"/f/new", 2}, {"/f/db", 1}}, {{"/f/db", 2}}};
  for (std::size_t kept = 0; kept <= 2; ++kept) {
    Names names = now;
    undo_names(names, recorded, kept);
    CHECK(names == wanted[kept]);
  }
  std::set<std::size_t> chosen;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    chosen.insert(Forgetter(seed).kept_names(recorded));
  }
  CHECK(chosen == std::set<std::size_t>{0, 1, 2});
}

TEST_CASE("power: the same seed, the same cut") {
  std::string now(9000, 'a');
  const Changes changes{write(now, 10, std::string(8000, 'b'))};
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CHECK(Forgetter(seed).content(now, changes, Way::kSectors) ==
          Forgetter(seed).content(now, changes, Way::kSectors));
  }
}

}  // namespace csa::test::power_replay_test
