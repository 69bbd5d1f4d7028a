// Counters above limits::kCounterMax, which an older csa has taken: what files hold of them is
// neither lost nor run twice.
#include <doctest/doctest.h>

#include <string>
#include <variant>
#include <vector>

#include "broker/opening.h"
#include "common/codec.h"
#include "common/journal.h"
#include "common/limits.h"
#include "tests/support/lost_master.h"
#include "tests/support/opening_place.h"
#include "tests/unit/hub_bench.h"

namespace csa::far_counters_test {
namespace {

using test::LedgerBench;
using test::LostMaster;
using test::MergeBench;

constexpr const char* kNotes = "CREATE TABLE note (text TEXT)";
constexpr const char* kAll =
    "SELECT ifnull(group_concat(text), '') FROM (SELECT text FROM note"
    " ORDER BY text)";
// Beyond what brokers take, where a part's number needs more than 63 bits, and negative in SQL.
constexpr std::uint64_t kFar[] = {limits::kCounterMax + 7, std::uint64_t{1} << 45U,
                                  (std::uint64_t{1} << 63U) + 9};

std::vector<Replay> entries_of(const MergeBench::Node& node) {
  return node.replica->read_journal(0, 0, limits::kMiB).value();
}

// As the next start of a newer csa finds it: an older one keeps no sum.
void reopen(MergeBench::Node& node, std::uint64_t counter) {
  node.replica.reset();
  run_sql(node.path, "UPDATE csa_private SET value = '" + std::to_string(counter) +
                         "' WHERE key = 'counter'; DELETE FROM csa_private WHERE key = 'sum'");
  node.replica = Replica::open(node.path, "csa", "default", Log()).value();
}

// Its journal has an entry of its own counting, and two of where somebody made it count on.
struct FarNode {
  MergeBench b{kNotes, 1};
  MergeBench::Node& node = b.nodes[0];
  const NodeId old = node.replica->state().node;
  std::uint64_t far;

  explicit FarNode(std::uint64_t from) : far(from) {
    node.counter = 6;
    b.edit(node, "INSERT INTO note VALUES ('a')", 1);
    node.counter = far - 1;
    b.edit(node, "INSERT INTO note VALUES ('b')", 2);
    b.edit(node, "INSERT INTO note VALUES ('c')", 3);
  }
};

void forget(LedgerBench& master, const NodeId& node,
            const std::string& sql = "UPDATE note SET text = text") {
  master.ledger->forget(node);
  master.counter = std::max(master.counter, limits::kForgottenMax);
  master.ledger->confirm(master.node, master.counter);  // by its own word
  master.write(sql);
  while (master.ledger->housekeeping()) continue;
}

bool can_be_sent(const Replay& replay) { return decode(encode(Message(replay))).has_value(); }

}  // namespace

TEST_CASE("far counters: a replica with them, opened, goes on lower under a new NodeId") {
  for (const std::uint64_t far : kFar) {
    CAPTURE(far);
    FarNode f(far);
    reopen(f.node, far + limits::kCounterBlock);
    CHECK(f.node.replica->state().node != f.old);
    CHECK(f.node.replica->state().journal.waiting == 3);
    const std::vector<Replay> entries = entries_of(f.node);
    REQUIRE(entries.size() == 3);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      CHECK(can_be_sent(entries[i]));
      CHECK(entries[i].header.tx == TxId{f.node.replica->state().node, 7 + i});
    }
    CHECK(entries[2].header.origin == TxId{f.old, far + 1});
    const std::uint64_t reserved = f.node.replica->reserve_counters();
    CHECK(reserved == 9 + limits::kCounterBlock);
    const NodeId renewed = f.node.replica->state().node;
    reopen(f.node, reserved);
    CHECK(f.node.replica->state().node == renewed);
    f.b.hand_over(f.node);
    CHECK(f.b.text(kAll) == "a,b,c");
    CHECK(f.b.catch_up(f.node) == "");
  }
}

TEST_CASE("far counters: entries that the master has under them, handed over again, stand") {
  for (const std::uint64_t far : kFar) {
    for (const bool forgotten : {false, true}) {
      CAPTURE(far);
      CAPTURE(forgotten);
      FarNode f(far);
      std::vector<Replay> entries;
      f.node.replica.reset();
      {
        // From 2^63 on an older csa had no outcome of the one before.
        const Database db(f.node.path, Database::Mode::kReadOnly);
        for (const std::uint64_t after : {far - 1, far}) {
          if (after >> 63U != 0 && !entries.empty()) break;
          const auto one = Journal(db).read(after, 0, 1, true);
          if (one && !one->empty()) entries.push_back(one->front());
        }
      }
      std::uint64_t previous = 0;
      for (Replay& entry : entries) {
        entry.first = entries.front().header.tx.counter;
        entry.previous = std::exchange(previous, entry.header.tx.counter);
        const Replayed answer = std::get<Replayed>(f.b.master.run({entry, "laptop", previous}));
        CAPTURE(answer.text);
        CHECK(answer.result == ReplayResult::kApplied);
      }
      REQUIRE(f.b.text(kAll) == (entries.size() == 1 ? "b" : "b,c"));
      if (forgotten) {
        forget(f.b.master, f.old);
        CHECK(f.b.master.count("SELECT count(*) FROM csa_outcome WHERE counter NOT BETWEEN 0 AND"
                               " 1 << 42") == 0);
        f.b.master.open();
      }
      reopen(f.node, far + limits::kCounterBlock);
      f.b.hand_over(f.node);
      CHECK(f.b.text(kAll) == "a,b,c");
      CHECK(f.b.text("SELECT count(*) FROM csa_conflicts") == "0");
    }
  }
}

TEST_CASE("far counters: a replica with them, restored from, brings its journal to the master") {
  for (const std::uint64_t far : kFar) {
    CAPTURE(far);
    FarNode f(far);
    f.node.replica->close();
    const DatabaseName name{f.b.master.folder.file("new.db"), "csa", "default"};
    const Result<Restoration> done = restore(name, f.node.path, opening::real());
    REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
    CHECK(done->journaled == 3);
    const Database db(name.path, Database::Mode::kReadOnly);
    CHECK(db.query_text(kAll) == "a,b,c");
  }
}

TEST_CASE("far counters: a transaction of a lost history is offered once, and recovered") {
  for (const std::uint64_t far : kFar) {
    CAPTURE(far);
    LostMaster m;
    const std::string backup = m.backup();
    m.b.master.counter = far;
    m.write("UPDATE part SET a = 'lost' WHERE id = 1", 10);
    REQUIRE(m.b.catch_up(m.live) == "");
    (void)m.restore_from(backup);
    REQUIRE(take_copy(*m.live.replica, m.b.copy()).has_value());
    const std::vector<Replay> offers = entries_of(m.live);
    REQUIRE(offers.size() == 1);
    CHECK(offers[0].header.lost == TxId{m.b.master.node, far + 1});
    CHECK(can_be_sent(offers[0]));
    for (int time = 0; time < 2; ++time) {
      CHECK(std::get<Replayed>(m.b.master.run({offers[0], "till", 1})).result ==
            ReplayResult::kOffered);
    }
    CHECK(m.b.text("SELECT count(*) FROM csa_lost") == "1");
    m.b.master.counter = 50;
    const Conflict recover{TxId{m.b.master.node, ++m.b.master.counter}, 1, ConflictVerb::kRecover};
    CHECK(std::holds_alternative<Ack>(m.b.master.run({recover, "desk", 1})));
    CHECK(m.row(1) == "lostb10");
  }
}

TEST_CASE("far counters: of a lost transaction whose outcome is forgotten, the log tells") {
  LostMaster m;
  REQUIRE(m.b.catch_up(m.live) == "");
  m.b.master.counter = kFar[0];
  m.write("UPDATE part SET a = 'here' WHERE id = 1", 10);
  const TxId had{m.b.master.node, kFar[0] + 1};
  const std::vector<LogPiece> log = m.b.after(Seq{0});
  m.b.edit(m.away, "UPDATE part SET a = 'here' WHERE id = 1", 20);
  Replay offer = entries_of(m.away).at(0);
  offer.header.lost = had;
  offer.header.request_hash = log.back().header.request_hash;
  JournalHasher hasher(offer.header);
  hasher.update(offer.bytes);
  offer.checksum = hasher.digest();
  m.b.master.node = hub_bench::node(3);
  forget(m.b.master, had.node, "UPDATE part SET n = n");
  CHECK(std::get<Replayed>(m.b.master.run({offer, "till", 1})).result == ReplayResult::kOffered);
  CHECK(m.b.text("SELECT count(*) FROM csa_lost") == "0");
}

TEST_CASE("far counters: a NodeId that one was used under is told so, and goes when forgotten") {
  LedgerBench b(kNotes);
  const NodeId used = hub_bench::node(7);
  const auto write = [&](std::uint64_t counter) {
    Write one;
    one.tx = {used, counter};
    one.sql = "INSERT INTO note VALUES ('x')";
    return b.run({one, "flood", 1});
  };
  (void)write(5);
  (void)write(~std::uint64_t{0});
  b.open();
  MasterState master = hub_bench::master();
  {
    const Database reader(b.path, Database::Mode::kReadOnly);
    master.counters = last_counters(reader);
    master.forgotten_counter = OutcomeTable(reader).forgotten_counter();
  }
  hub_bench::Bench hub(hub_bench::config(), master);
  hub.say("seven", hub_bench::hello(7));
  // Whoever owns it sees that it has to take another.
  CHECK(hub.sent<Welcome>("seven").at(0).last_counter == limits::kCounterMax);
  forget(b, used);
  const Database reader(b.path, Database::Mode::kReadOnly);
  CHECK(OutcomeTable(reader).forgotten_counter() == limits::kCounterMax);
  CHECK(reader.query_int("SELECT count(*) FROM csa_outcome WHERE counter IN (5, -1)") == 0);
}

TEST_CASE("far counters: the word of one copy of a replica lets nothing of another run again") {
  for (const bool word : {false, true}) {
    CAPTURE(word);
    MergeBench b(kNotes, 2);
    MergeBench::Node& laptop = b.nodes[0];
    const NodeId name = laptop.replica->state().node;
    laptop.counter = limits::kForgottenMax + 40;
    b.edit(laptop, "INSERT INTO note VALUES ('one')", 1);
    const Replay entry = entries_of(laptop).at(0);
    CHECK(std::get<Replayed>(b.master.run({entry, "laptop", 1})).result == ReplayResult::kApplied);
    Write flood;
    flood.tx = {hub_bench::node(9), limits::kCounterMax};
    flood.sql = "UPDATE note SET text = text";
    (void)b.master.run({flood, "flood", 2});
    forget(b.master, flood.tx.node);
    forget(b.master, name);
    // Another copy, made before the entry.
    if (word) b.master.ledger->confirm(name, limits::kForgottenMax + 5);
    b.master.write("UPDATE note SET text = text");
    laptop.replica->renew_identity(0);
    const std::vector<Replayed> answers = b.hand_over(laptop);
    CHECK(answers.at(0).result == ReplayResult::kStood);
    CHECK(b.text(kAll) == "one");
  }
}

TEST_CASE("far counters: what a newcomer confirms is not stored before its word") {
  MasterState master = hub_bench::master();
  master.forgotten_counter = limits::kCounterMax;
  hub_bench::Bench hub(hub_bench::config(), master);
  const auto write_as = [&](const PeerKey& peer, std::uint8_t node) {
    Hello greeting = hub_bench::hello(node);
    greeting.counter = limits::kForgottenMax + 1000;
    hub.say(peer, greeting);
    Write write;
    write.tx = {hub_bench::node(node), greeting.counter + 1};
    hub.say(peer, write);
  };
  write_as("one", 1);
  const CommitJob first = hub.jobs<CommitJob>().at(0);
  write_as("two", 2);  // waits
  Ping ping;
  ping.state = NodeState::kLive;
  ping.confirmed = 3;
  hub.say("two", ping);
  CHECK(hub.jobs<ConfirmJob>().empty());
  hub.out.clear();
  hub.commit(hub.result_of(first));
  CHECK(hub.jobs<CommitJob>().at(0).confirm.at(hub_bench::node(2)) == limits::kForgottenMax + 1000);
}

}  // namespace csa::far_counters_test
