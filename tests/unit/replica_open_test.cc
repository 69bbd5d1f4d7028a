#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "node/replica.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT);"
    "INSERT INTO t VALUES (1, 'one')";

std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

Error open_error(const std::string& path, const std::string& group = "shop") {
  const Result<std::unique_ptr<Replica>> opened = Replica::open(path, "csa", group, Log());
  REQUIRE(!opened);
  return opened.error();
}

bool speaks_of(const Error& error, const std::string& word) {
  return error.what.find(word) != std::string::npos;
}

}  // namespace

TEST_CASE("open replica: somebody's own database, refused and not a byte changed") {
  const ScratchFolder folder;
  const std::string path = folder.file("own.db");
  run_sql(path, "CREATE TABLE mine (x); INSERT INTO mine VALUES (1)");
  const std::string before = bytes_of(path);
  const Error error = open_error(path);
  CHECK(error.code == Errc::kRefused);
  CHECK(speaks_of(error, path));
  CHECK(speaks_of(error, "--replica"));
  CHECK(bytes_of(path) == before);
}

TEST_CASE("open replica: a broker's database, refused") {
  const ScratchFolder folder;
  const HandMaster master(folder.path(), kSchema);
  const Error error = open_error(master.path());
  CHECK(error.code == Errc::kRefused);
  CHECK(speaks_of(error, "broker"));
}

TEST_CASE("open replica: of another group, refused naming both, with and without a copy") {
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  HandMaster master(folder.path(), kSchema);
  for (const bool with_copy : {false, true}) {
    if (with_copy) REQUIRE(take_copy(*open_replica(path), master.copy()).has_value());
    if (!with_copy) (void)open_replica(path);
    const Error error = open_error(path, "clinic");
    CHECK(error.code == Errc::kRefused);
    CHECK(speaks_of(error, "\"shop\""));
    CHECK(speaks_of(error, "\"clinic\""));
  }
}

TEST_CASE("open replica: not SQLite, damaged, kept, and the command to move it is named") {
  const ScratchFolder folder;
  const std::string path = folder.file("it's.db");
  const std::string text(5000, 'x');
  write_file(path, text);
  const Error error = open_error(path);
  CHECK(error.code == Errc::kDamaged);
  CHECK(bytes_of(path) == text);
  const std::size_t command = error.what.find("mv ");
  REQUIRE(command != std::string::npos);
  REQUIRE(std::system(error.what.substr(command).c_str()) == 0);
  CHECK(!std::filesystem::exists(path));
  CHECK(std::filesystem::exists(path + ".damaged"));
  CHECK(try_open(path).has_value());
}

TEST_CASE("open replica: the file was cut short, damaged and kept") {
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  HandMaster master(folder.path(), kSchema);
  REQUIRE(take_copy(*open_replica(path), master.copy()).has_value());
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  const std::string before = bytes_of(path);
  const Error error = open_error(path);
  CHECK(error.code == Errc::kDamaged);
  CHECK(speaks_of(error, path));
  CHECK(bytes_of(path) == before);
}

TEST_CASE("open replica: another program changed its tables, damaged and says so") {
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  HandMaster master(folder.path(), kSchema);
  REQUIRE(take_copy(*open_replica(path), master.copy()).has_value());
  run_sql(path, "ALTER TABLE t ADD COLUMN extra");
  const Error error = open_error(path);
  CHECK(error.code == Errc::kDamaged);
  CHECK(speaks_of(error, "changed by another program"));
}

TEST_CASE("open replica: csa's own rows are incomplete, damaged") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), kSchema);
  for (const char* const sql : {"DELETE FROM csa_meta WHERE key = (SELECT min(key) FROM csa_meta)",
                                "DELETE FROM csa_private WHERE key = 'counter'",
                                "UPDATE csa_private SET value = 'x1' WHERE key = 'node'"}) {
    const std::string path = folder.file("r.db");
    std::filesystem::remove(path);
    REQUIRE(take_copy(*open_replica(path), master.copy()).has_value());
    run_sql(path, sql);
    CAPTURE(sql);
    CHECK(open_error(path).code == Errc::kDamaged);
  }
}

TEST_CASE("open replica: no such folder, or a folder itself, fails with a sentence") {
  const ScratchFolder folder;
  const Error missing = open_error(folder.file("none/r.db"));
  CHECK(missing.code == Errc::kFailed);
  CHECK(speaks_of(missing, "folder"));
  CHECK(open_error(folder.path()).code == Errc::kFailed);
}

TEST_CASE("open replica: an empty file, is begun like a missing one") {
  const ScratchFolder folder;
  const std::string path = folder.file("r.db");
  write_file(path, "");
  CHECK(try_open(path).has_value());
}

}  // namespace csa
