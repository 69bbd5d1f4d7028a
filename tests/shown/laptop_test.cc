// What a laptop that was away moves over the network when it returns, by what was changed
// meanwhile.
#include <doctest/doctest.h>

#include "common/system_clock.h"
#include "tests/shown/measure.h"
#include "tests/shown/office.h"

namespace csa::shown_test::laptop_test {
namespace {

using std::chrono::seconds;
using system_test::eventually;
using system_test::Program;

// The laptop leaves; what is typed at the office and then, without a broker, at the laptop is what
// it returns to.
class Lan {
 public:
  explicit Lan(const std::string& schema) : office_(schema), logged_(office_.log_bytes()) {}

  void change(const std::string& elsewhere, const std::string& own) {
    office_.type_at_office(elsewhere);
    office_.stop_broker();
    made_ = office_.log_bytes() - logged_;
    office_.type_at_laptop(own);
    made_ += system_test::count_of(replica(),
                                   "SELECT coalesce(sum(length(body)), 0) FROM csa_journal_part");
    office_.serve();
  }

  // Until `query` gives `count` at the laptop. No full copy is taken, and the bytes on its network
  // card, both ways, are less than `most` times the size of the changes: what was logged elsewhere
  // and journaled here before it came back.
  void returns(const std::string& what, const std::string& query, std::int64_t count,
               std::uint64_t most = 2) {
    const std::uint64_t start = office_.carried();
    const TimePoint at = monotonic_now();
    Program laptop(office_.laptop({"run"}));
    REQUIRE(laptop.line_with("state=live", seconds{60}));
    REQUIRE(eventually([&] { return system_test::count_of(replica(), query) == count; }));
    const double took = std::chrono::duration<double>(monotonic_now() - at).count();
    const std::uint64_t bytes = office_.carried() - start;
    show("laptop: back after " + what + ": " + std::to_string(bytes / 1024) +
         " KiB on the wire in " + decimal(took) + " s; the changes are " +
         std::to_string(made_ / 1024) + " KiB, so " +
         decimal(static_cast<double>(bytes) / static_cast<double>(made_)) + " times");
    CHECK(bytes < most * static_cast<std::uint64_t>(made_));
    laptop.signal(SIGTERM);
    CHECK(laptop.exit_code() == 0);
    CHECK(laptop.errors().find("full copy") == std::string::npos);
    CHECK(office_.place().difference_of("laptop.db") == "");
  }

 private:
  [[nodiscard]] std::string replica() const { return office_.place().file("laptop.db"); }

  Office office_;
  std::int64_t logged_ = 0;  // bytes in the log when the laptop left
  std::int64_t made_ = 0;    // bytes of the changes since then
};

std::string times(int count, const std::function<std::string(int)>& statement) {
  std::string all;
  for (int i = 1; i <= count; ++i) all += statement(i);
  return all;
}

// `count` rows of a table `part`.
std::string parts(int count, const std::string& body) {
  return "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, qty INTEGER, body BLOB);"
         "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " +
         std::to_string(count) + ") INSERT INTO part SELECT i, 'part ' || i, i, " + body +
         " FROM n;";
}

}  // namespace

TEST_CASE("shown: laptop: a 500 MB replica returns, bytes by the changes, no full copy") {
  REQUIRE(system_test::is_root());
  Lan lan(
      "CREATE TABLE big (id INTEGER PRIMARY KEY, body BLOB NOT NULL);"
      "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT, body BLOB);"
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)"
      " INSERT INTO big SELECT i, randomblob(65536) FROM n;");
  const std::string elsewhere =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
      " INSERT INTO part (name, body) SELECT 'part ' || i, randomblob(200) FROM n;\n";
  const std::string own = "INSERT INTO part (name, body) VALUES ('own', randomblob(200));\n";
  lan.change(times(100, [&](int) { return elsewhere; }), times(100, [&](int) { return own; }));
  lan.returns("10,000 changes elsewhere and 100 of its own", "SELECT count(*) FROM part", 10'100);
}

TEST_CASE("shown: laptop: 10,000 separate updates of one column elsewhere") {
  REQUIRE(system_test::is_root());
  Lan lan(parts(10'000, "randomblob(20)"));
  lan.change(times(10'000,
                   [](int i) {
                     return "UPDATE part SET qty = -qty WHERE id = " + std::to_string(i) + ";\n";
                   }),
             "");
  lan.returns("10,000 separate updates of one column", "SELECT count(*) FROM part WHERE qty < 0",
              10'000);
}

TEST_CASE("shown: laptop: 100 own conflicts on rows of 2 kB") {
  REQUIRE(system_test::is_root());
  // Random bytes get no shorter, the inbox tells them twice (as they are, and for people), and what
  // is merged may arrive as UPDATE and again in a LOG: this is shown, and twice is not promised.
  struct Kind {
    std::string body;
    std::uint64_t most;
  };
  for (const Kind& kind : {Kind{"hex(randomblob(1000))", 2}, Kind{"randomblob(2000)", 4}}) {
    CAPTURE(kind.body);
    Lan lan(parts(100, kind.body));
    const auto edit = [&](int i) {
      return "UPDATE part SET body = " + kind.body + " WHERE id = " + std::to_string(i) + ";\n";
    };
    lan.change(times(100, edit), times(100, edit));
    lan.returns("100 own conflicts, of " + kind.body, "SELECT count(*) FROM csa_conflicts", 100,
                kind.most);
  }
}

TEST_CASE("shown: laptop: 100 own updates of one column") {
  REQUIRE(system_test::is_root());
  Lan lan(parts(100, "randomblob(20)"));
  lan.change("", times(100, [](int i) {
               return "UPDATE part SET qty = -qty WHERE id = " + std::to_string(i) + ";\n";
             }));
  // 71 bytes each: what any return costs, greetings and packets' headers, is much of it.
  lan.returns("100 own updates of one column", "SELECT count(*) FROM csa_journal_part", 0, 3);
}

}  // namespace csa::shown_test::laptop_test
