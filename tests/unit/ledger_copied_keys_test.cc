// Ledger: a replica was copied, what names rows of the one journal follows to the numbers that they
// were given, also for the other.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/copied_replica.h"

namespace csa::test::ledger_copied_keys_test {

TEST_CASE("copied replica: the outcome stands for the other's entry, what follows goes with it") {
  for (const bool restarted : {false, true}) {
    CAPTURE(restarted);
    Copied c;
    (void)c.write("INSERT INTO part VALUES (2, 'from elsewhere')");
    Replay own = c.insert(1, "part", 2, Text{"washer"});
    const Replay copy = c.renamed(own);
    const Replayed one = c.give(own);
    REQUIRE(one.keys.size() == 1);
    // What is known of its numbers is forgotten with the next journal.
    Replay other = c.insert(5, "bin", 1, std::int64_t{1});
    other.first = 5;
    other.previous = 0;
    Copied::seal(other);
    CHECK(is_outcome(c.give(other).result));
    if (restarted) c.open();
    const Replayed two = c.give(copy);
    CHECK(two.keys == one.keys);
    Replay later = c.insert(2, "bin", 2, std::int64_t{2});
    later.header.tx.node = c.second;
    Copied::seal(later);
    CHECK(is_outcome(c.give(later).result));
    CHECK(c.count("SELECT part FROM bin WHERE id = 2") == one.keys[0].after);
    CHECK(c.replay_difference().empty());
  }
}

TEST_CASE(
    "copied replica: a write of before the copy stands, its rows go by the master's numbers") {
  Copied c;
  (void)c.write("INSERT INTO part VALUES (2, 'from elsewhere')");
  (void)c.write_as(1);
  Write write;
  write.tx = {c.first, 1};
  write.sql = "INSERT INTO part (name) VALUES ('of before')";
  Replay sent = c.renamed(c.insert(1, "part", 2, Text{"of before"}));
  sent.header.request_hash = request_hash(write);
  Copied::seal(sent);
  const Replayed stands = c.give(sent);
  CHECK(stands.result == ReplayResult::kStood);
  Replay later = c.insert(2, "bin", 2, std::int64_t{2});
  later.header.tx.node = c.second;
  Copied::seal(later);
  CHECK(is_outcome(c.give(later).result));
  CHECK(c.count("SELECT part FROM bin WHERE id = 2") == 3);
  CHECK(c.count("SELECT count(*) FROM part") == 3);
  CHECK(c.replay_difference().empty());
}

TEST_CASE("copied replica: parked for the one, what names its rows waits for the other too") {
  Copied c;
  c.options.log_keep = 1000;
  c.open();
  (void)c.write("INSERT INTO part VALUES (2, 'from elsewhere')");
  const Replay own = c.insert(1, "part", 2, Text{"washer"});
  CHECK(is_outcome(c.give(own).result));
  c.ledger->confirm(c.first, 1);
  for (int i = 0; i < 30; ++i) (void)c.write("UPDATE part SET name = name || '.' WHERE id = 1");
  REQUIRE(c.ledger->meta().floor > Seq{3});
  CHECK(c.give(own).result == ReplayResult::kParked);
  Replay other = c.insert(5, "bin", 1, std::int64_t{1});
  other.first = 5;
  other.previous = 0;
  Copied::seal(other);
  CHECK(is_outcome(c.give(other).result));
  CHECK(c.give(c.renamed(own)).result == ReplayResult::kParked);
  Replay later = c.insert(2, "bin", 2, std::int64_t{2});
  later.header.tx.node = c.second;
  Copied::seal(later);
  CHECK(c.give(later).result == ReplayResult::kParked);
  CHECK(c.count("SELECT count(*) FROM bin WHERE id = 2") == 0);
}

TEST_CASE("copied replica: two journals with one begin, both follow to the numbers of that") {
  for (const bool restarted : {false, true}) {
    CAPTURE(restarted);
    Copied c;
    (void)c.write("INSERT INTO part VALUES (2, 'from elsewhere')");
    const Replay both = c.insert(1, "part", 2, Text{"washer"});
    CHECK(c.give(both).keys.size() == 1);
    CHECK(is_outcome(c.give(c.insert(2, "part", 4, Text{"the first one's"})).result));
    if (restarted) c.open();
    CHECK(is_outcome(c.give(both).result));
    CHECK(is_outcome(c.give(c.insert(2, "part", 3, Text{"the copy's"})).result));
    CHECK(is_outcome(c.give(c.insert(3, "bin", 1, std::int64_t{2})).result));
    CHECK(is_outcome(c.give(c.insert(4, "bin", 2, std::int64_t{3})).result));
    CHECK(c.count("SELECT part FROM bin WHERE id = 1") == 3);
    CHECK(c.count("SELECT part.id FROM bin JOIN part ON part.id = part WHERE bin.id = 2 AND name ="
                  " 'the copy''s'") > 3);
    CHECK(c.replay_difference().empty());
  }
}

TEST_CASE("copied replica: what is under its new TxId is forgotten, its entry is made once") {
  for (const bool forgotten : {false, true}) {
    for (const bool renamed_first : {false, true}) {
      CAPTURE(forgotten);
      CAPTURE(renamed_first);
      Copied c;
      const Replay own = c.insert(1, "part", 2, Text{"washer"});
      const Replay copy = c.renamed(own);
      if (!renamed_first) CHECK(is_outcome(c.give(own).result));
      c.ledger->confirm(c.second, 5);
      if (forgotten && !renamed_first) c.ledger->confirm(c.first, 1);
      (void)c.write("INSERT INTO part VALUES (9, 'with it, the confirmation')");
      CHECK(is_outcome(c.give(copy).result));
      CHECK(c.count("SELECT count(*) FROM part WHERE name = 'washer'") == 1);
      c.open();
      CHECK(is_outcome(c.give(copy).result));
      CHECK(is_outcome(c.give(own).result));
      CHECK(c.count("SELECT count(*) FROM part WHERE name = 'washer'") == 1);
      CHECK(c.replay_difference().empty());
    }
  }
}

}  // namespace csa::test::ledger_copied_keys_test
