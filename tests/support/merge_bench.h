// A master's real Ledger and nodes' real replicas that edit offline at times the test gives, hand
// their journals over and step to the master's log. One thread.
#pragma once

#include <doctest/doctest.h>

#include <deque>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/bytes.h"
#include "common/journal.h"
#include "node/identity.h"
#include "node/replica.h"
#include "tests/support/ledger_bench.h"
#include "tests/support/replica_steps.h"

namespace csa::test {

struct MergeBench {
  struct Node {
    std::string path;
    std::unique_ptr<Replica> replica;
    std::uint64_t counter = 0;
  };
  LedgerBench master;
  std::deque<Node> nodes;

  // With so many nodes, all on the same copy.
  MergeBench(const std::string& schema, std::size_t count) : master(schema) {
    for (std::size_t i = 0; i < count; ++i) add_node();
  }

  Node& add_node(std::optional<NodeId> id = {}) {
    const std::string path = master.folder.file("node" + std::to_string(nodes.size()) + ".db");
    auto replica = Replica::open(path, "csa", "default", Log()).value();
    REQUIRE(take_copy(*replica, copy()).has_value());
    if (id) {
      replica.reset();
      {
        const Database db(path, Database::Mode::kReadWrite);
        Identity identity = read_identity(db).value().value();
        identity.node = *id;
        Transaction transaction(db);
        write_identity(db, identity);
        transaction.commit();
      }
      replica = Replica::open(path, "csa", "default", Log()).value();
    }
    nodes.push_back({path, std::move(replica), 0});
    return nodes.back();
  }

  // The master's clock stands still until it is set again, and edit() counts by it.
  void set_clock(std::int64_t at_ms) {
    if (!clock_) {
      clock_ = std::make_shared<LocalTime>(LocalTime{WallTime{start_}, 1, at_ms});
      master.options.local_now = [clock = clock_] { return *clock; };
      master.open();
      start_ = master.ledger->time().at(*clock_).ms - at_ms;
    }
    clock_->boot_ms = at_ms;
  }
  OfflineDone edit(Node& node, const std::string& sql, std::int64_t at_ms) {
    OfflineWrite write;
    write.write.tx = {node.replica->state().node, ++node.counter};
    write.write.sql = sql;
    write.edited = WallTime{start_ + at_ms};
    OfflineDone done = node.replica->write_offline(write).value();
    if (const auto* const nack = std::get_if<Nack>(&done.answer))
      FAIL(sql << ": " << nack->message);
    return done;
  }

  // At the master, under the node's name; its replica does not have it before it catches up.
  void edit_online(Node& node, const std::string& sql) {
    Write write;
    write.tx = {node.replica->state().node, ++node.counter};
    write.sql = sql;
    (void)master.ack({std::move(write), "node", ++ticket});
  }

  // Every entry of the journal that has no answer, one after the other; what became of each. All of
  // them where a master that was started anew asks for what comes before.
  std::vector<Replayed> hand_over(Node& node) {
    std::vector<Replayed> outcomes;
    std::uint64_t after = 0, answered = 0;
    bool anew = false;
    const std::string link = std::to_string(++ticket);
    while (true) {
      std::vector<Replay> parts = node.replica->read_journal(after, 0, 64 * limits::kMiB).value();
      if (parts.empty()) break;
      after = parts.back().header.tx.counter;
      for (Replay& part : parts) {
        const std::uint64_t counter = part.header.tx.counter;
        WriteJob job{std::move(part), "node", ++ticket};
        job.link = link;
        const Replayed answer = std::get<Replayed>(master.run(job));
        if (answer.result == ReplayResult::kAgain && outcomes.empty() &&
            !std::exchange(anew, true)) {
          answered = counter - 1;
          node.replica->unmark_journal(true);
          after = 0;
          break;
        }
        if (is_outcome(answer.result) && counter > answered) outcomes.push_back(answer);
        REQUIRE_MESSAGE((is_outcome(answer.result) || answer.result == ReplayResult::kMore),
                        answer.text);
      }
    }
    node.replica->mark_answered(outcomes);
    return outcomes;
  }
  // As a node does whose link was lost: its last answered entry again, and all of them where the
  // broker asks for what comes before.
  std::vector<Replayed> come_back(Node& node) {
    node.replica->unmark_journal(false);
    std::vector<Replayed> outcomes;
    const std::string link = std::to_string(++ticket);
    for (bool doubted = false;;) {
      std::vector<Replay> parts = node.replica->read_journal(0, 0, 64 * limits::kMiB).value();
      if (parts.empty()) return outcomes;
      WriteJob job{std::move(parts.front()), "node", ++ticket};
      job.link = link;
      const Replayed answer = std::get<Replayed>(master.run(job));
      if (answer.result == ReplayResult::kAgain) {
        REQUIRE_FALSE(doubted);
        doubted = true;
        node.replica->unmark_journal(true);
        outcomes.clear();
        continue;
      }
      REQUIRE_MESSAGE(is_outcome(answer.result), answer.text);
      outcomes.push_back(answer);
      node.replica->mark_answered({answer});
    }
  }
  // Steps to the master's present state; empty: node and master are equal.
  std::string catch_up(Node& node) {
    const Seq from = node.replica->state().position->seq;
    const std::vector<LogPiece> pieces = after(from);
    if (node.replica->state().journal.entries > 0) {
      if (const Status spooled = node.replica->spool(pieces); !spooled) return spooled.error().what;
      if (const auto taken = node.replica->take_over(); !taken) return taken.error().what;
    } else if (!pieces.empty()) {
      if (const auto applied = node.replica->apply(pieces); !applied) return applied.error().what;
    }
    return difference(Database(master.path, Database::Mode::kReadOnly),
                      Database(node.path, Database::Mode::kReadOnly));
  }
  // The one column of the one row that `sql` finds at the master.
  [[nodiscard]] std::string text(const std::string& sql) const {
    const Database db(master.path, Database::Mode::kReadOnly);
    return db.query_text(sql).value_or("-");
  }

  std::vector<LogPiece> after(Seq seq) const {
    const Database db(master.path, Database::Mode::kReadOnly);
    LogTable log(db);
    std::vector<LogPiece> pieces;
    for (Seq next = seq.next(); next <= master.ledger->meta().position.seq; next = next.next()) {
      for (std::uint64_t offset = 0;;) {
        std::optional<LogPiece> piece = log.read(next, offset, limits::kPieceMax);
        REQUIRE(piece.has_value());
        offset += piece->bytes.size();
        const bool last = piece->completes();
        pieces.push_back(std::move(*piece));
        if (last) break;
      }
    }
    return pieces;
  }

  HandMaster::Copy copy() {
    const std::string file = master.folder.file("copy-" + to_string(random_id()));
    {
      const Database from(master.path, Database::Mode::kReadOnly);
      const Database to(file, Database::Mode::kCreate);
      backup(from, to);
      Transaction transaction(to);
      clear_private(to);
      write_meta(to, master.ledger->meta());
      transaction.commit();
    }
    HandMaster::Copy copy;
    std::ifstream in(file, std::ios::binary);
    copy.bytes.assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    copy.end.snapshot = random_id();
    copy.end.total = copy.bytes.size();
    copy.end.hash = hash128(copy.bytes);
    copy.end.position = master.ledger->meta().position;
    return copy;
  }

 private:
  std::uint64_t ticket = 1'000'000;
  std::int64_t start_ = 1'000'000;
  std::shared_ptr<LocalTime> clock_;
};

}  // namespace csa::test
