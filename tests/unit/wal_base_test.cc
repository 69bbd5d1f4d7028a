// A master's file and a -wal that do not belong together.
#include "common/wal_base.h"

#include <filesystem>

#include "broker/opening.h"
#include "tests/support/ledger_bench.h"

namespace csa::test::wal_base_test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPart = "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT)";

struct Copies {
  LedgerBench bench{kPart};

  Copies() {
    bench.ledger->close();
    write_private(Database(bench.path, Database::Mode::kReadWrite), "role", "broker");
    bench.open();
  }
  void write(int count) {
    for (int i = 0; i < count; ++i) bench.write("INSERT INTO part (name) VALUES (zeroblob(3000))");
  }
  // The next commit begins the -wal anew.
  void reopen() {
    bench.ledger->close();
    bench.open();
  }
  [[nodiscard]] std::string keep(const std::string& what, const std::string& as) const {
    fs::copy_file(bench.path + what, bench.folder.file(as), fs::copy_options::overwrite_existing);
    return bench.folder.file(as);
  }
  // What a start says of this file with this -wal beside it.
  [[nodiscard]] Report of(const std::string& file, const std::string& wal) const {
    const std::string path = bench.folder.file("mixed.db");
    fs::remove(path + "-shm");
    fs::copy_file(file, path, fs::copy_options::overwrite_existing);
    fs::copy_file(wal, path + "-wal", fs::copy_options::overwrite_existing);
    const Report report = inspect({path, "csa", "default"}, false);
    CHECK(fs::file_size(path) == fs::file_size(file));
    CHECK(fs::file_size(path + "-wal") == fs::file_size(wal));
    return report;
  }
};

}  // namespace

TEST_CASE("wal_base: an older copy of the file under the -wal is refused, the true one is not") {
  Copies c;
  c.write(5);
  c.bench.ledger->close();
  const std::string old_file = c.keep("", "old.db");
  c.bench.open();
  c.write(1);
  c.reopen();
  const std::string file = c.keep("", "true.db");
  c.write(5);
  const std::string wal = c.keep("-wal", "true.wal");
  CHECK(c.of(file, wal).finding == Finding::kSound);
  const Report report = c.of(old_file, wal);
  CHECK(report.finding == Finding::kDamaged);
  CHECK(report.sentence.find("do not belong together") != std::string::npos);
  CHECK(report.sentence.find("the file is an older copy") != std::string::npos);
  REQUIRE_FALSE(report.ways_out.empty());
  CHECK(report.ways_out[0].command.find("restore") != std::string::npos);
}

TEST_CASE("wal_base: a file that was partly or wholly written from the -wal is the true one") {
  Copies c;
  c.reopen();
  c.write(300);
  const std::string wal = c.keep("-wal", "early.wal");
  c.write(700);
  c.bench.ledger->housekeeping();
  const std::string file = c.keep("", "after.db");
  CHECK(c.of(file, c.keep("-wal", "whole.wal")).finding == Finding::kSound);
  // The -wal of a backup that was taken before.
  const Report report = c.of(file, wal);
  CHECK(report.finding == Finding::kDamaged);
  CHECK(report.sentence.find("ends with an earlier one") != std::string::npos);
}

TEST_CASE("wal_base: the -wal of another database is refused") {
  Copies one;
  Copies two;
  one.write(3);
  two.write(3);
  const std::string file = one.keep("", "one.db");
  const Report report = one.of(file, two.keep("-wal", "two.wal"));
  CHECK(report.finding == Finding::kDamaged);
  CHECK(report.sentence.find("of two databases") != std::string::npos);
}

}  // namespace csa::test::wal_base_test
