// Ledger: a replica was copied while its journal waited, both files go on, one under a new
// identity.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/support/copied_replica.h"

namespace csa::test::ledger_copied_test {

TEST_CASE("copied replica: an entry that both copies hold is made once, in either order") {
  for (const bool renamed_first : {false, true}) {
    CAPTURE(renamed_first);
    Copied c;
    (void)c.write("INSERT INTO part VALUES (2, 'from elsewhere')");
    const Replay own = c.insert(1, "part", 2, Text{"washer"});
    const Replay copy = c.renamed(own);
    const Replayed one = c.give(renamed_first ? copy : own);
    const Replayed two = c.give(renamed_first ? own : copy);
    CHECK(is_outcome(one.result));
    CHECK(two.result == one.result);
    REQUIRE(one.keys.size() == 1);
    CHECK(two.keys == one.keys);
    CHECK(c.count("SELECT count(*) FROM part WHERE name = 'washer'") == 1);
    // Also after a restart, and when an answer was lost.
    c.open();
    CHECK(c.give(own).result == one.result);
    CHECK(c.give(copy).result == one.result);
    CHECK(c.count("SELECT count(*) FROM part WHERE name = 'washer'") == 1);
    // What each of them made since speaks of the row by the number that it had there.
    CHECK(is_outcome(c.give(c.insert(2, "bin", 1, std::int64_t{2})).result));
    Replay later = c.insert(2, "bin", 2, std::int64_t{2});
    later.header.tx.node = c.second;
    Copied::seal(later);
    CHECK(is_outcome(c.give(later).result));
    CHECK(c.count("SELECT count(*) FROM bin WHERE part = " + std::to_string(one.keys[0].after)) ==
          2);
    CHECK(c.count("SELECT count(*) FROM csa_conflicts WHERE decision = 'parked'") == 0);
    CHECK(c.replay_difference().empty());
  }
}

TEST_CASE(
    "copied replica: another transaction under a TxId that is taken, made once under its own") {
  Copied c;
  const Replay own = c.insert(1, "part", 2, Text{"washer"});
  const Replay stray = c.insert(1, "part", 2, Text{"screw"});
  CHECK(is_outcome(c.give(own).result));
  CHECK(is_outcome(c.give(stray).result));
  c.open();
  CHECK(is_outcome(c.give(stray).result));
  CHECK(is_outcome(c.give(own).result));
  CHECK(is_outcome(c.give(c.insert(2, "part", 7, Text{"nut"})).result));
  CHECK(c.count("SELECT count(*) FROM part WHERE name IN ('washer', 'screw', 'nut')") == 3);
  CHECK(c.replay_difference().empty());
}

TEST_CASE(
    "copied replica: the other one under its TxId is of a lost history, an entry stays made once") {
  for (const bool renamed : {false, true}) {
    CAPTURE(renamed);
    Copied c;
    // Refused, so no log tells of it.
    Write refused;
    refused.tx = {c.first, 1};
    refused.sql = "INSERT INTO part VALUES (1, 'again')";
    (void)c.nack({refused, "till", 5});
    const Replay own = c.insert(1, "part", 2, Text{"washer"});
    const Replay entry = renamed ? c.renamed(own) : own;
    CHECK(is_outcome(c.give(entry).result));
    // Of a replica that is made the master only what its log says is known.
    c.ledger.reset();
    {
      const Database db(c.path, Database::Mode::kReadWrite);
      Statement forget = db.prepare("DELETE FROM csa_outcome WHERE node IN (?1, ?2)");
      forget.bind_blob(1, c.first.value.bytes).bind_blob(2, c.second.value.bytes).run();
    }
    c.open();
    CHECK(is_outcome(c.give(entry).result));
    CHECK(c.count("SELECT count(*) FROM part WHERE name = 'washer'") == 1);
  }
}

TEST_CASE("copied replica: an older copy's entries under TxIds of writes, made once in order") {
  Copied c;
  for (std::uint64_t n = 1; n <= 3; ++n) (void)c.write_as(n);
  std::vector<Replay> journal;
  for (std::uint64_t n = 1; n <= 4; ++n) {
    journal.push_back(c.insert(n, "bin", static_cast<std::int64_t>(n), std::int64_t{1}));
  }
  // They come as a window of them does, of which the first was lost.
  CHECK(c.give(journal[1]).result == ReplayResult::kAgain);
  for (const std::size_t n : {0U, 1U, 2U}) CHECK(is_outcome(c.give(journal[n]).result));
  c.open();
  for (const Replay& entry : journal) CHECK(is_outcome(c.give(entry).result));
  CHECK(c.count("SELECT count(*) FROM bin") == 4);
  CHECK(c.replay_difference().empty());
}

TEST_CASE("copied replica: equal writes of two copies under one TxId, each takes effect") {
  for (const bool sent_again : {true, false}) {
    CAPTURE(sent_again);
    Copied c;
    const auto write = [&c](std::uint64_t nonce) {
      Write one;
      one.tx = {c.first, 1};
      one.sql = "INSERT INTO part (name) VALUES ('washer')";
      one.nonce = nonce;
      return one;
    };
    (void)c.ack({write(7), "till", 5});
    if (sent_again) {
      CHECK(c.nack({write(8), "laptop", 6}).code == NackCode::kMismatch);
      CHECK(c.ack({write(7), "till", 7}).repeated);
      continue;
    }
    // No answer came, so it was made on the copy.
    Replay entry = c.insert(1, "part", 2, Text{"washer"});
    entry.header.request_hash = request_hash(write(8));
    Copied::seal(entry);
    CHECK(is_outcome(c.give(entry).result));
    CHECK(c.give(entry).result == ReplayResult::kApplied);
    CHECK(c.count("SELECT count(*) FROM part WHERE name = 'washer'") == 2);
  }
}

TEST_CASE("copied replica: an older copy's entry, what another one was told under it is not its") {
  Copied c;
  (void)c.write_as(1);
  Replay own = c.insert(2, "part", 7, Text{"washer"});
  own.first = 2;
  own.previous = 0;
  CHECK(is_outcome(c.give(own).result));
  const Replay one = c.insert(1, "bin", 1, std::int64_t{1});
  const Replay two = c.insert(2, "bin", 2, std::int64_t{1});
  const Replay three = c.insert(3, "bin", 3, std::int64_t{1});
  CHECK(c.give(two).result == ReplayResult::kAgain);
  CHECK(c.give(three).result == ReplayResult::kAgain);
  for (const Replay& entry : {one, two, three}) CHECK(is_outcome(c.give(entry).result));
  CHECK(is_outcome(c.give(own).result));
  CHECK(c.count("SELECT count(*) FROM bin") == 3);
  CHECK(c.replay_difference().empty());
}

TEST_CASE(
    "copied replica: the first one's outcome is forgotten, what the log has is not repeated") {
  Copied c;
  const Replay own = c.insert(1, "part", 2, Text{"washer"});
  const Replay copy = c.renamed(own);
  CHECK(is_outcome(c.give(own).result));
  c.ledger->confirm(c.first, 1);
  (void)c.write("INSERT INTO part VALUES (9, 'with it, the confirmation')");
  CHECK(c.give(copy).result == ReplayResult::kStood);
  CHECK(c.give(own).result == ReplayResult::kStood);
  CHECK(c.count("SELECT count(*) FROM part WHERE name = 'washer'") == 1);
  CHECK(c.count("SELECT count(*) FROM csa_conflicts") == 0);
  CHECK(c.replay_difference().empty());
}

TEST_CASE("copied replica: its outcome is forgotten and the log tells no more, it is parked once") {
  for (const bool renamed : {false, true}) {
    CAPTURE(renamed);
    Copied c;
    c.options.log_keep = 1000;
    c.open();
    const Replay own = c.insert(1, "part", 2, Text{"washer"});
    CHECK(is_outcome(c.give(own).result));
    c.ledger->confirm(c.first, 1);
    for (int i = 0; i < 30; ++i) (void)c.write("UPDATE part SET name = name || '.' WHERE id = 1");
    REQUIRE(c.ledger->meta().floor > Seq{2});
    const Replay again = renamed ? c.renamed(own) : own;
    for (int time = 0; time < 2; ++time) {
      CHECK(c.give(again).result == ReplayResult::kParked);
      CHECK(c.count("SELECT count(*) FROM csa_conflicts WHERE decision = 'parked'") == 1);
    }
    CHECK(c.count("SELECT count(*) FROM part WHERE name = 'washer'") == 1);
  }
}

TEST_CASE("copied replica: another transaction under a TxId that was confirmed, it is made once") {
  Copied c;
  CHECK(is_outcome(c.give(c.insert(1, "part", 2, Text{"washer"})).result));
  CHECK(is_outcome(c.give(c.insert(2, "part", 3, Text{"nut"})).result));
  c.ledger->confirm(c.first, 5);
  (void)c.write("INSERT INTO part VALUES (9, 'with it, the confirmation')");
  // The file of before came back; 3 was never given to anything else.
  std::vector<Replay> later;
  for (std::uint64_t counter = 1; counter <= 3; ++counter) {
    later.push_back(c.insert(counter, "part", 20 + static_cast<std::int64_t>(counter),
                             Text{"screw" + std::to_string(counter)}));
  }
  for (int time = 0; time < 2; ++time) {
    for (const Replay& one : later) CHECK(c.give(one).result == ReplayResult::kApplied);
    // Also from a copy with an identity of its own.
    for (const Replay& one : later) CHECK(is_outcome(c.give(c.renamed(one)).result));
    CHECK(c.count("SELECT count(*) FROM part WHERE name LIKE 'screw%'") == 3);
    c.open();
  }
  CHECK(c.count("SELECT count(*) FROM csa_conflicts WHERE decision = 'parked'") == 0);
  CHECK(c.replay_difference().empty());
}

TEST_CASE(
    "copied replica: a bit of its log entry's header is wrong, it is parked and not repeated") {
  Copied c;
  (void)c.write("UPDATE part SET name = 'before it' WHERE id = 1");
  const Replay own = c.insert(1, "part", 2, Text{"washer"});
  const Seq seq = c.give(own).seq;
  c.ledger->confirm(c.first, 1);
  (void)c.write("UPDATE part SET name = 'with it, the confirmation' WHERE id = 1");
  c.ledger->close();
  const Bytes header = c.header_of(seq);
  const std::string sound = c.folder.file("sound.db");
  std::filesystem::copy_file(c.path, sound);
  // Some of every byte's.
  for (std::size_t bit = 0; bit < header.size() * 8; bit += 7) {
    CAPTURE(bit);
    c.put_back(sound);
    Bytes wrong = header;
    wrong[bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
    c.set_header(seq, wrong);
    c.lines.clear();
    c.open();
    CHECK(c.give(own).result == ReplayResult::kParked);
    CHECK(c.count("SELECT count(*) FROM part WHERE name = 'washer'") == 1);
    CHECK(c.lines.find("is not what was written") != std::string::npos);
  }
}

TEST_CASE("copied replica: an entry of the log is damaged, what was made after it is made once") {
  Copied c;
  (void)c.write("UPDATE part SET name = 'before it' WHERE id = 1");
  const Seq seq = c.ledger->meta().position.seq;
  const Replay onto = c.insert(1, "part", 2, Text{"onto it"});
  (void)c.write("UPDATE part SET name = 'after it' WHERE id = 1");
  const Replay later = c.insert(2, "part", 3, Text{"later"});
  c.ledger->confirm(c.first, 5);
  (void)c.write("UPDATE part SET name = 'with it, the confirmation' WHERE id = 1");
  c.ledger.reset();
  // Not to be read as a header.
  c.set_header(seq, Bytes(c.header_of(seq).size(), 0xff));
  c.open();
  for (int time = 0; time < 2; ++time) {
    // Whether it is this history's entry that it was made onto, nobody can tell.
    CHECK(c.give(onto).result == ReplayResult::kParked);
    CHECK(c.give(later).result == ReplayResult::kApplied);
  }
  CHECK(c.count("SELECT count(*) FROM part WHERE name = 'later'") == 1);
}

}  // namespace csa::test::ledger_copied_test
