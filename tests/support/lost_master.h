// A master that is lost and restored, from a node's replica or from a backup, by clocks that the
// test sets.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "broker/opening.h"
#include "tests/support/merge_bench.h"

namespace csa::test {

inline constexpr const char* kLostSchema = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, a TEXT, b TEXT, n INTEGER);
  INSERT INTO part VALUES (1, 'a', 'b', 10), (2, 'a', 'b', 10), (3, 'a', 'b', 10);
)";
inline constexpr const char* kLostInbox =
    "SELECT ifnull(group_concat(key || decision || close, ' '), '') FROM"
    " (SELECT * FROM csa_conflicts ORDER BY id)";

// Node 0 follows the master until it is lost, node 1 is away from the start.
struct LostMaster {
  WallTime clock{1'000'000};  // of the master, which it counts by the clock since boot
  std::int64_t slow_ms = 0;   // so far the wall clock is behind it
  MergeBench b;
  MergeBench::Node& live;
  MergeBench::Node& away;

  explicit LostMaster(const std::vector<RuleSetting>& rules = {}, std::uint64_t log_keep = 0)
      : b(kLostSchema, 0), live(prepare(rules, log_keep)), away(b.add_node()) {}

  MergeBench::Node& prepare(const std::vector<RuleSetting>& settings, std::uint64_t log_keep) {
    b.master.options.local_now = [this] { return local(); };
    b.master.options.random_id = [] { return random_id(); };
    if (log_keep != 0) b.master.options.log_keep = log_keep;
    b.master.ledger.reset();
    Database(b.master.path, Database::Mode::kReadWrite)
        .exec("DELETE FROM csa_private WHERE key = 'clock'");  // of another time
    b.master.open();
    write("INSERT INTO part VALUES (4, '', '', 0)", 0);  // no position is where the epoch began
    if (!settings.empty()) {
      const Rules rules{TxId{b.master.node, ++b.master.counter}, settings, false};
      REQUIRE(std::holds_alternative<Ack>(b.master.run({rules, "desk", 1})));
    }
    return b.add_node();
  }
  [[nodiscard]] LocalTime local() const { return {wall(), 1, clock.ms}; }
  [[nodiscard]] WallTime wall() const { return WallTime{clock.ms - slow_ms}; }
  void write(const std::string& sql, std::int64_t at_ms) {
    clock = WallTime{1'000'000 + at_ms};
    b.master.write(sql);
  }
  // What the live node has is all there is.
  Meta lose_and_restore() {
    REQUIRE(b.catch_up(live) == "");
    return restore_from(live.path);
  }
  Meta restore_from(const std::string& file) {
    b.master.ledger->close();
    b.master.ledger.reset();
    for (const char* const ending : {"", "-wal", "-shm"}) {
      std::filesystem::remove(b.master.path + ending);
    }
    clock.ms += 1000;
    const Randomness randomness{[] { return random_id(); }, [this] { return local(); }};
    const Result<Restoration> done = restore({b.master.path, "csa", "default"}, file, randomness);
    REQUIRE_MESSAGE(done.has_value(), (done ? "" : done.error().what));
    b.master.open();
    return done->meta;
  }
  // A copy of the master as it is now, changed by `sql`.
  std::string backup(const std::string& sql = {}) {
    const std::string file = b.master.folder.file("backup-" + to_string(random_id()));
    const Database from(b.master.path, Database::Mode::kReadOnly);
    const Database to(file, Database::Mode::kCreate);
    test::backup(from, to);
    to.exec(sql);
    return file;
  }
  std::vector<Replayed> return_at(std::int64_t at_ms) {
    clock = WallTime{1'000'000 + at_ms};
    return b.hand_over(away);
  }
  [[nodiscard]] std::string row(int id) const {
    return b.text("SELECT a || b || n FROM part WHERE id = " + std::to_string(id));
  }
  [[nodiscard]] std::string inbox() const { return b.text(kLostInbox); }
};

}  // namespace csa::test
