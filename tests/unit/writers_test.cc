// NodeIds are bounded: a flood of made-up ones displaces itself, and whoever is forgotten is never
// run twice.
#include "common/writers.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "common/limits.h"
#include "common/store_meta.h"
#include "tests/support/merge_bench.h"
#include "tests/unit/hub_bench.h"

namespace csa::writers_test {
namespace {

using hub_bench::Bench;
using test::LedgerBench;
using test::MergeBench;

constexpr std::size_t kFlood = 100'000;

NodeId made_up(std::uint64_t number) {
  NodeId node;
  for (std::size_t i = 0; i < 8; ++i) {
    node.value.bytes[i] = static_cast<std::uint8_t>(number >> (8 * i));
  }
  node.value.bytes[15] = 0xF0;
  return node;
}

WriteJob write_of(const TxId& tx) {
  Write write;
  write.tx = tx;
  write.sql = "INSERT INTO note VALUES (1)";
  return {std::move(write), "flood", tx.counter};
}

// As the Hub has the ledger do it, with so many NodeIds in all.
struct Flooded : LedgerBench {
  explicit Flooded(std::size_t most) : LedgerBench("CREATE TABLE note (n INTEGER)"), most_(most) {}

  WriteAnswer give(const TxId& tx) { return give(std::vector<TxId>{tx}).front().answer; }
  std::vector<WriteOutcome> give(const std::vector<TxId>& all) {
    const Database reader(path, Database::Mode::kReadOnly);
    if (!writers_) writers_.emplace(last_counters(reader), most_);
    for (const Writers::Forgotten& gone :
         writers_->take_excess([](const NodeId&) { return false; }))
      ledger->forget(gone.node);
    std::vector<WriteJob> jobs;
    for (const TxId& tx : all) jobs.push_back(write_of(tx));
    std::vector<WriteOutcome> outcomes = ledger->commit(jobs).outcomes;
    for (const TxId& tx : all) writers_->used(tx.node, tx.counter);
    return outcomes;
  }
  void flood(std::uint64_t from, std::uint64_t count, std::uint64_t used) {
    while (count > 0) {
      std::vector<TxId> group;
      for (; count > 0 && group.size() < limits::kGroupMax; --count) {
        group.push_back({made_up(from++), used});
      }
      (void)give(group);
    }
  }
  std::uint64_t forgotten() const {
    return OutcomeTable(Database(path, Database::Mode::kReadOnly)).forgotten_counter();
  }

 private:
  std::size_t most_;
  std::optional<Writers> writers_;
};

bool is_expired(const WriteAnswer& answer) {
  const auto* const nack = std::get_if<Nack>(&answer);
  return nack != nullptr && nack->code == NackCode::kExpired;
}

}  // namespace

TEST_CASE("writers: at most so many, those that were here first stay, and those that are kept") {
  Writers writers({{made_up(1), 5}, {made_up(2), 9}}, 3);
  writers.used(made_up(3), 1);
  writers.used(made_up(4), 2);
  writers.used(made_up(5), 3);
  const auto gone = writers.take_excess([](const NodeId& node) { return node == made_up(5); });
  REQUIRE(gone.size() == 2);
  CHECK(gone[0].node == made_up(4));
  CHECK(gone[0].counter == 2);
  CHECK(gone[1].node == made_up(3));
  CHECK(writers.last(made_up(1)) == 5);
  CHECK(!writers.last(made_up(3)).has_value());
  // Of those whose order is not known, who has written least goes first.
  writers.used(made_up(6), 1);
  const auto next = writers.take_excess(
      [](const NodeId& node) { return node == made_up(5) || node == made_up(6); });
  REQUIRE(next.size() == 1);
  CHECK(next[0].node == made_up(1));
}

TEST_CASE("writers: 100,000 NodeIds, the tables stay within the bound") {
  const Database db(":memory:", Database::Mode::kCreate);
  create_tables(db);
  Transaction transaction(db);
  OutcomeTable outcomes(db);
  Writers writers({}, limits::kWritersMax);
  const auto here = [](const NodeId& node) { return node == made_up(1); };
  for (std::uint64_t i = 0; i < kFlood; ++i) {
    outcomes.add({TxId{made_up(i), 7 + i % 3}, Id128{}, Ack{}});
    writers.used(made_up(i), 7 + i % 3);
    for (const Writers::Forgotten& gone : writers.take_excess(here)) {
      outcomes.forget_node(gone.node);
    }
    outcomes.forget(100);
  }
  CHECK(writers.size() == limits::kWritersMax);
  CHECK(db.query_int("SELECT count(*) FROM csa_outcome_floor") == limits::kWritersMax);
  CHECK(db.query_int("SELECT count(*) FROM csa_outcome") == limits::kWritersMax);
  CHECK(outcomes.forgotten_counter() == 9);
  CHECK(outcomes.find({made_up(1), 8}).has_value());
  CHECK(outcomes.floor(made_up(1)) == 0);
  CHECK(outcomes.floor(made_up(kFlood - 2)) == 9);
  CHECK(outcomes.last_counter(made_up(kFlood + 1)) == 9);
  transaction.commit();
}

TEST_CASE("writers: of one NodeId the outcomes of its last counters are kept") {
  const Database db(":memory:", Database::Mode::kCreate);
  create_tables(db);
  OutcomeTable outcomes(db);
  for (const std::uint64_t counter : {5U, 6U}) {
    outcomes.add({TxId{made_up(1), counter}, Id128{}, Ack{}});
  }
  outcomes.add({TxId{made_up(1), 5 + limits::kOutcomesMax}, Id128{}, Ack{}});
  outcomes.forget(100);
  CHECK(outcomes.floor(made_up(1)) == 5);
  CHECK(!outcomes.find({made_up(1), 5}).has_value());
  CHECK(outcomes.find({made_up(1), 6}).has_value());
}

TEST_CASE("writers: the Hub forgets who is not here, and tells newcomers where to begin") {
  constexpr std::size_t kMost = 1000;
  HubConfig config = hub_bench::config();
  config.writers_max = kMost;
  Bench bench(config);
  bench.join("old", 1);
  const auto say_write = [&](const PeerKey& from, const TxId& tx) {
    Write write;
    write.tx = tx;
    bench.say(from, write);
    REQUIRE(bench.jobs<CommitJob>().size() == 1);
    const CommitJob job = bench.jobs<CommitJob>()[0];
    bench.out.clear();
    bench.commit(bench.result_of(job));
    bench.out.clear();
    return job.forget;
  };
  (void)say_write("old", {hub_bench::node(1), 8});
  std::vector<NodeId> forgotten;
  for (std::uint64_t i = 0; i < 2 * kMost; ++i) {
    Hello greeting = hub_bench::hello(2);
    greeting.node = made_up(i);
    bench.say("new", greeting);
    for (const NodeId& node : say_write("new", {made_up(i), 50})) forgotten.push_back(node);
    bench.say("new", Goodbye{"done"});
    bench.out.clear();
    bench.lines.clear();
  }
  // The last one goes with the next group.
  CHECK(forgotten.size() == kMost);
  for (const NodeId& node : forgotten) REQUIRE(node != hub_bench::node(1));
  const auto last_counter = [&](const NodeId& node) {
    Hello greeting = hub_bench::hello(3);
    greeting.node = node;
    bench.out.clear();
    bench.say("who", greeting);
    return bench.sent<Welcome>("who").at(0).last_counter;
  };
  CHECK(last_counter(made_up(1)) == 50);              // known
  CHECK(last_counter(made_up(2 * kMost + 1)) == 50);  // of whoever was forgotten
  bench.out.clear();
  bench.say("old", hub_bench::hello(1));
  CHECK(bench.sent<Welcome>("old").at(0).last_counter == 8);
}

TEST_CASE("writers: made-up counters leave every newcomer numbers, by its own word") {
  HubConfig config = hub_bench::config();
  config.writers_max = 2;
  MasterState master = hub_bench::master();
  master.forgotten_counter = limits::kForgottenMax;
  for (const bool far : {false, true}) {
    CAPTURE(far);
    if (far) ++master.forgotten_counter;
    Bench bench(config, master);
    const auto greet = [&](std::uint64_t counter) {
      Hello greeting = hub_bench::hello(2);
      greeting.counter = counter;
      bench.out.clear();
      bench.say("new", greeting);
      return bench.sent<Welcome>("new").at(0).last_counter;
    };
    constexpr std::uint64_t kUsed = limits::kForgottenMax + 1000;
    CHECK(greet(1000) == limits::kForgottenMax);
    CHECK(greet(kUsed) == (far ? kUsed : limits::kForgottenMax));
    Write write;
    write.tx = {hub_bench::node(2), kUsed + 1};
    bench.say("new", write);
    const CommitJob job = bench.jobs<CommitJob>().at(0);
    CHECK(job.confirm.size() == (far ? 1 : 0));
    if (!far) continue;
    CHECK(job.confirm.at(write.tx.node) == kUsed);
    bench.commit(bench.result_of(job));
    CHECK(greet(kUsed + 5000) == kUsed + 1);  // it is known
    bench.say("new", write);
    CHECK(bench.jobs<CommitJob>().at(0).confirm.empty());
  }
}

TEST_CASE("writers: a repeat that waits is not forgotten before it is answered") {
  HubConfig config = hub_bench::config();
  config.writers_max = 1;
  Bench bench(config);
  Write write;
  write.tx = {hub_bench::node(2), 5};
  bench.join("two", 2);
  bench.join("three", 3);
  bench.say("two", write);
  bench.commit(bench.result_of(bench.jobs<CommitJob>().at(0)));
  bench.out.clear();
  Write other;
  other.tx = {hub_bench::node(3), 1};
  bench.say("three", other);
  const CommitJob first = bench.jobs<CommitJob>().at(0);
  bench.say("two", write);
  bench.say("two", Goodbye{"done"});
  bench.out.clear();
  bench.commit(bench.result_of(first));
  CHECK(bench.jobs<CommitJob>().at(0).forget.empty());
}

TEST_CASE("writers: counters that leave no number above them lock nobody out of the ledger") {
  for (const bool older : {false, true}) {
    CAPTURE(older);
    Flooded b(10);
    const TxId honest{b.node, 4};
    REQUIRE(std::holds_alternative<Ack>(b.give(honest)));
    b.flood(0, 600, older ? 1 : limits::kCounterMax);
    if (older) {  // it took every counter
      b.ledger.reset();
      const Database db(b.path, Database::Mode::kReadWrite);
      db.exec("INSERT OR REPLACE INTO csa_meta VALUES ('forgotten_counter', -1)");
    }
    b.open();
    CHECK(b.forgotten() == limits::kCounterMax);
    CHECK(std::get<Ack>(b.give(honest)).repeated);
    const NodeId fresh = made_up(5000);
    constexpr std::uint64_t kUsed = limits::kForgottenMax + 6;
    b.ledger->confirm(fresh, kUsed);  // by its own word
    CHECK(!std::get<Ack>(b.give({fresh, kUsed + 1})).repeated);
    const Database reader(b.path, Database::Mode::kReadOnly);
    CHECK(OutcomeTable(reader).floor(fresh) == kUsed);
    CHECK(last_counters(reader).at(fresh) == kUsed + 1);
    const auto again =
        b.ledger->commit({write_of({fresh, kUsed + 1}), write_of({fresh, kUsed})}).outcomes;
    CHECK(std::get<Ack>(again[0].answer).repeated);
    CHECK(is_expired(again[1].answer));
    CHECK(b.replay_difference().empty());
  }
}

TEST_CASE("writers: a replica goes on counting where somebody has used up its name") {
  MergeBench b("CREATE TABLE note (n INTEGER)", 1);
  const NodeId own = b.nodes[0].replica->state().node;
  (void)b.master.ledger->commit({write_of({own, limits::kCounterMax})});
  REQUIRE(b.catch_up(b.nodes[0]) == "");
  CHECK(b.nodes[0].replica->reserve_counters() == limits::kForgottenMax + limits::kCounterBlock);
  b.nodes[0].replica->renew_identity(limits::kCounterMax);
  CHECK(b.nodes[0].replica->reserve_counters() < limits::kForgottenMax + 3 * limits::kCounterBlock);
}

TEST_CASE("writers: nothing of a forgotten node runs twice, the honest ones notice nothing") {
  Flooded b(10);
  const TxId honest{b.node, 4};
  REQUIRE(std::holds_alternative<Ack>(b.give(honest)));
  b.flood(0, 600, 30);
  const TxId forgotten{made_up(500), 30};
  for (int restart = 0; restart < 2; ++restart) {
    const std::int64_t rows = b.count("SELECT count(*) FROM note");
    CHECK(std::get<Ack>(b.give(honest)).repeated);
    CHECK(is_expired(b.give(forgotten)));
    CHECK(is_expired(b.give({forgotten.node, 12})));
    CHECK(b.count("SELECT count(*) FROM note") == rows);
    CHECK(b.forgotten() == 30);
    b.open();
  }
  REQUIRE(std::holds_alternative<Ack>(b.give({b.node, 5})));
  // Above what is forgotten it goes on, and is known again; what it did before stays forgotten.
  REQUIRE(std::holds_alternative<Ack>(b.give({forgotten.node, 31})));
  CHECK(is_expired(b.give({forgotten.node, 31})));  // nobody says that it is here
  CHECK(is_expired(b.give(forgotten)));
  while (b.ledger->housekeeping()) continue;
  CHECK(b.count("SELECT count(*) FROM csa_outcome_floor") <= 12);
  CHECK(b.count("SELECT count(*) FROM csa_outcome") <= 14);
}

TEST_CASE("writers: a file of an older csa, its nodes are known when it is opened") {
  Flooded b(10);
  (void)b.give({b.node, 4});
  b.ledger.reset();
  {
    const Database db(b.path, Database::Mode::kReadWrite);
    db.exec("DELETE FROM csa_outcome_floor");
  }
  b.open();
  b.flood(0, 600, 30);
  CHECK(b.forgotten() == 30);
  CHECK(std::get<Ack>(b.give({b.node, 4})).repeated);
  CHECK(std::holds_alternative<Ack>(b.give({b.node, 5})));
}

TEST_CASE("writers: a laptop that was forgotten hands its journal over, nothing is there twice") {
  for (const auto& [logged, far] : {std::pair(true, false), std::pair(false, false),
                                    std::pair(true, true), std::pair(false, true)}) {
    CAPTURE(logged);
    CAPTURE(far);
    MergeBench b("CREATE TABLE note (text TEXT)", 2);
    MergeBench::Node& laptop = b.nodes[0];
    if (!logged) {
      b.master.options.log_keep = 1000;
      b.master.open();
    }
    b.edit(laptop, "INSERT INTO note VALUES ('one')", 1);
    b.edit(laptop, "INSERT INTO note VALUES ('two')", 2);
    const std::vector<Replay> entries = laptop.replica->read_journal(0, 0, limits::kMiB).value();
    REQUIRE(entries.size() == 2);
    std::uint64_t ticket = 0;
    const auto give = [&](const Replay& entry) {
      return std::get<Replayed>(b.master.run({entry, "laptop", ++ticket})).result;
    };
    CHECK(give(entries[0]) == ReplayResult::kApplied);
    // Its answer is lost, and somebody who counts further comes and goes.
    std::uint64_t number = 1;
    const auto forget_all = [&] {
      if (far && number > 1) b.master.ledger->confirm(made_up(number), 0);
      if (far) b.master.counter = std::max(b.master.counter, limits::kForgottenMax);
      b.master.counter += 100;
      (void)b.master.write("UPDATE note SET text = text");
      if (far) (void)b.master.ledger->commit({write_of({made_up(number++), limits::kCounterMax})});
      const Database reader(b.master.path, Database::Mode::kReadOnly);
      for (const auto& [node, counter] : last_counters(reader)) b.master.ledger->forget(node);
      b.master.counter += 100;
      if (far) b.master.ledger->confirm(b.master.node, b.master.counter);
      for (int i = 0; i < 30; ++i) (void)b.master.write("INSERT INTO note VALUES ('else')");
      if (far) b.master.ledger->confirm(entries[0].header.tx.node, 1000);
    };
    forget_all();
    const ReplayResult again = logged ? ReplayResult::kStood : ReplayResult::kParked;
    CHECK(give(entries[0]) == again);
    CHECK(give(entries[1]) == (logged ? ReplayResult::kApplied : ReplayResult::kParked));
    forget_all();
    for (const Replay& entry : entries) {
      const ReplayResult result = give(entry);  // parked once more where nothing tells of it
      CHECK((result == ReplayResult::kStood || (!logged && result == ReplayResult::kParked)));
    }
    CHECK(b.text("SELECT count(*) FROM note WHERE text = 'one'") == "1");
    CHECK(b.text("SELECT count(*) FROM note WHERE text = 'two'") == (logged ? "1" : "0"));
    CHECK((b.text("SELECT count(*) FROM csa_conflicts") == "0") == logged);
    if (logged) CHECK(b.master.replay_difference().empty());
  }
}

TEST_CASE("writers: a replica keeps no more of them than the master") {
  MergeBench b("CREATE TABLE note (n INTEGER)", 1);
  std::vector<WriteJob> group;
  for (std::uint64_t i = 0; i < limits::kWritersMax + 1000; ++i) {
    group.push_back(write_of({made_up(i), 3}));
    if (group.size() < limits::kGroupMax) continue;
    (void)b.master.ledger->commit(group);
    group.clear();
  }
  REQUIRE(b.catch_up(b.nodes[0]) == "");
  const Database replica(b.nodes[0].path, Database::Mode::kReadOnly);
  CHECK(replica.query_int("SELECT count(*) FROM csa_outcome_floor") == limits::kWritersMax);
  CHECK(replica.query_int("SELECT count(*) FROM csa_outcome") <= limits::kWritersMax + 1);
  CHECK(OutcomeTable(replica).forgotten_counter() == 3);
}

}  // namespace csa::writers_test
