#include <doctest/doctest.h>

#include <random>

#include "tests/support/ledger_bench.h"

namespace csa::test::ledger_property_test {
namespace {

constexpr const char* kSchema = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE ON CONFLICT REPLACE,
                     qty INTEGER CHECK (qty < 90));
  CREATE TABLE tag (word TEXT COLLATE NOCASE, part INTEGER REFERENCES part ON DELETE CASCADE
                    DEFERRABLE INITIALLY DEFERRED, PRIMARY KEY (word, part)) WITHOUT ROWID;
  CREATE TABLE note (body, at REAL);
  CREATE UNIQUE INDEX once ON note (at);
  CREATE VIRTUAL TABLE search USING fts5(body);
  CREATE VIRTUAL TABLE old_search USING fts4(body);
  CREATE TRIGGER noted AFTER INSERT ON part BEGIN
    INSERT INTO search VALUES (new.name);
    SELECT RAISE(ROLLBACK, 'too many') WHERE new.qty = 13;
  END;
)";

// Statements that fail in every way SQLite knows are among them; ?1 and ?2 are small numbers.
constexpr const char* kStatements[] = {
    "INSERT INTO part (name, qty) VALUES ('n' || ?1, ?2)",
    "INSERT OR ROLLBACK INTO part (id, name, qty) VALUES (?1, 'r' || ?2, 1)",
    "INSERT OR FAIL INTO note VALUES ('x', ?1), ('y', ?2), ('z', ?1)",
    "INSERT OR IGNORE INTO note VALUES (?1, ?2)",
    "UPDATE part SET id = id + 1000 WHERE id = ?1 AND ?2 > 0",
    "DELETE FROM part WHERE id = ?1 OR qty = ?2",
    "INSERT INTO tag VALUES ('w' || ?2, ?1)",
    "UPDATE OR REPLACE tag SET word = upper(word) WHERE part > ?1 AND ?2 > 0",
    "UPDATE note SET at = at + ?1 WHERE body = ?2",
    "INSERT INTO old_search VALUES ('old ' || ?1 || ' ' || ?2)",
    "UPDATE search SET body = body || ?1 WHERE rowid = ?2",
    "DELETE FROM search WHERE rowid = ?1 AND ?2 > 0",
    "DELETE FROM old_search WHERE docid = ?1 AND ?2 > 0",
    "REPLACE INTO part SELECT id, name, ?1 FROM part WHERE id < ?2 ORDER BY id",
};

}  // namespace

TEST_CASE("ledger: random groups with failures of every kind, the log repeats the master") {
  for (const std::uint32_t seed : {1U, 2U, 3U}) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto below = [&random](std::uint32_t n) { return random() % n; };
    LedgerBench bench(kSchema);
    std::int64_t columns = 0;
    std::size_t acknowledged = 0;
    std::size_t rejected = 0;
    for (int group = 0; group < 60; ++group) {
      std::vector<WriteJob> jobs;
      for (std::uint32_t i = 0; i < 1 + below(8); ++i) {
        if (below(60) == 0) {
          jobs.push_back(bench.migration("ALTER TABLE note ADD COLUMN c" +
                                         std::to_string(columns++) + " REAL DEFAULT 2"));
          continue;
        }
        std::string sql;
        Row parameters;
        for (std::uint32_t k = 0; k < 1 + below(3); ++k) {
          sql += std::string(kStatements[below(std::size(kStatements))]) + ";";
          parameters.emplace_back(static_cast<std::int64_t>(below(30)));
          parameters.emplace_back(static_cast<std::int64_t>(below(95)));
        }
        jobs.push_back(bench.job(sql, parameters));
      }
      const CommitResult result = bench.ledger->commit(jobs);
      REQUIRE(result.outcomes.size() == jobs.size());
      for (std::size_t i = 0; i < jobs.size(); ++i) {
        CHECK(result.outcomes[i].ticket == jobs[i].ticket);
        (std::holds_alternative<Ack>(result.outcomes[i].answer) ? acknowledged : rejected)++;
      }
      CHECK(result.head == bench.ledger->meta().position);
    }
    CHECK(acknowledged > 50);
    CHECK(rejected > 20);
    CHECK(static_cast<std::size_t>(bench.count("SELECT count(*) FROM csa_outcome")) ==
          acknowledged + rejected);
    CHECK(bench.replay_difference() == "");
  }
}

}  // namespace csa::test::ledger_property_test
