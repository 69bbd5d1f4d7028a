// What a node moves over the network whose place the log no longer reaches, or whose file is
// damaged: by what differs, not by the size of the database.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <regex>

#include "common/system_clock.h"
#include "tests/shown/measure.h"
#include "tests/shown/office.h"

namespace csa::shown_test::difference_test {
namespace {

using std::chrono::seconds;
using system_test::eventually;
using system_test::Program;

// 400 MB of documents, and 20,000 small rows with an index.
constexpr const char* kSchema =
    "CREATE TABLE document (id INTEGER PRIMARY KEY, body BLOB NOT NULL);"
    "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, qty INTEGER);"
    "CREATE INDEX part_name ON part(name);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6400)"
    " INSERT INTO document SELECT i, randomblob(65536) FROM n;"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
    " INSERT INTO part SELECT i, hex(randomblob(8)), i FROM n;";

// Of the copies that this program took: bytes altogether, and from the broker.
struct Copies {
  int count = 0;
  std::uint64_t total = 0;
  std::uint64_t fetched = 0;
};
Copies copies_of(const Program& node) {
  Copies copies;
  const std::string text = node.errors();
  const std::regex line("of the ([0-9]+) bytes of the copy ([0-9]+) came from the broker");
  for (std::sregex_iterator at(text.begin(), text.end(), line), end; at != end; ++at) {
    ++copies.count;
    copies.total += std::stoull((*at)[1]);
    copies.fetched += std::stoull((*at)[2]);
  }
  return copies;
}

std::string mebibytes(std::uint64_t bytes) {
  return decimal(static_cast<double>(bytes) / (1024.0 * 1024.0)) + " MiB";
}

// From now until the laptop is live and, if it is asked for, equal by csa-admin verify.
std::uint64_t back(Office& office, const std::string& what, bool verified, Copies& copies) {
  const std::uint64_t start = office.carried();
  const TimePoint at = monotonic_now();
  Program laptop(office.laptop({"run", "--log-level", "info", "--verify-every", "0s"}));
  REQUIRE(laptop.line_with("state=live", seconds{120}));
  if (verified) {
    REQUIRE(office.admin({"verify"}).code == 1);
    REQUIRE(eventually([&] { return copies_of(laptop).count > 0; }, seconds{60}));
    REQUIRE(eventually([&] { return office.admin({"verify"}).code == 0; }, seconds{60}));
  }
  const double took = std::chrono::duration<double>(monotonic_now() - at).count();
  const std::uint64_t bytes = office.carried() - start;
  copies = copies_of(laptop);
  show("difference: " + what + ": " + mebibytes(bytes) + " on the wire in " + decimal(took) +
       " s; a full copy is " + mebibytes(copies.total) + ", of it " + mebibytes(copies.fetched) +
       " were fetched");
  CHECK(copies.count == 1);
  laptop.signal(SIGTERM);
  CHECK(laptop.exit_code() == 0);
  CHECK(office.place().difference_of("laptop.db") == "");
  return bytes;
}

}  // namespace

TEST_CASE("shown: difference: the log no longer reaches back, the bytes are by what differs") {
  REQUIRE(system_test::is_root());
  Office office(kSchema, {"--log-keep", "1MiB"});
  for (const int rows : {20, 2000}) {
    // What makes the log too short is gone again: it is no difference.
    office.type_at_office("UPDATE part SET qty = -qty WHERE id % " + std::to_string(20000 / rows) +
                          " = 1;\n" +
                          "INSERT INTO document VALUES (10000, zeroblob(2000000));\n"
                          "DELETE FROM document WHERE id = 10000;\n"
                          "UPDATE part SET name = 'last' WHERE id = 1;\n");
    Copies copies;
    const std::uint64_t bytes =
        back(office, "after " + std::to_string(rows) + " rows changed elsewhere", false, copies);
    CHECK(copies.total > 400'000'000);
    // The page map is one part in 512; 2,000 rows are on all pages of their table.
    CHECK(bytes < copies.total / 50);
  }
}

TEST_CASE("shown: difference: a bit of a replica's document is wrong, its page is fetched") {
  REQUIRE(system_test::is_root());
  Office office(kSchema);
  {
    std::fstream file(office.place().file("laptop.db"),
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(200'000'000);
    const char byte = static_cast<char>(file.get());
    file.seekp(200'000'000);
    file.put(static_cast<char>(byte ^ 4));
  }
  Copies copies;
  const std::uint64_t bytes = back(office, "after a bit was wrong", true, copies);
  CHECK(copies.fetched < 200'000);
  CHECK(bytes < copies.total / 50);
}

TEST_CASE("shown: difference: a join ended half-way, broker and node anew, the rest is fetched") {
  REQUIRE(system_test::is_root());
  Office office(kSchema);
  std::filesystem::remove(office.place().file("laptop.db"));
  {
    Program laptop(office.laptop({"run"}));
    const std::string copy = office.place().file("laptop.db-csa-copy");
    REQUIRE(eventually(
        [&] {
          std::error_code none;
          return std::filesystem::file_size(copy, none) > 150'000'000 && !none;
        },
        seconds{60}));
    laptop.kill();
  }
  office.stop_broker();
  office.serve();
  office.type_at_office("UPDATE part SET qty = -qty WHERE id < 10;\n");
  Copies copies;
  (void)back(office, "after a join that was killed", false, copies);
  CHECK(copies.fetched < copies.total - 140'000'000);
}

}  // namespace csa::shown_test::difference_test
