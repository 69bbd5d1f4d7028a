// The master's disk is gone. What goes on is a backup, or a node's replica, as the next history; in
// the end a person recovers what the nodes have offered.
#include <filesystem>

#include "broker/opening.h"
#include "common/sqlite.h"
#include "common/store_meta.h"
#include "tests/sim/cluster.h"

namespace csa::sim {
namespace {

constexpr double kRestoreCrash = 0.05;  // at each crash point
constexpr std::chrono::seconds kAnswersAwaited{5};

}  // namespace

void Cluster::back_up() {
  const std::string path = folder_ + "/backup.db";
  const Database from(master_, Database::Mode::kReadOnly);
  const Database to(path, Database::Mode::kCreate);
  sqlite3_backup* const copy = sqlite3_backup_init(to.handle(), "main", from.handle(), "main");
  if (copy == nullptr || sqlite3_backup_step(copy, -1) != SQLITE_DONE ||
      sqlite3_backup_finish(copy) != SQLITE_OK) {
    throw Violation("the master cannot be backed up");
  }
  backup_ = path;
  world_.note("B: backed up");
}

void Cluster::lose_master() {
  std::vector<std::string> sources;
  if (!backup_.empty()) sources.push_back(backup_);
  for (const auto& node : nodes_) {
    const Database db(node->path(), Database::Mode::kReadOnly);
    if (has_meta(db)) sources.push_back(node->path());
  }
  if (!sources.empty()) restore_from(sources[world_.random(sources.size())]);
}

// All of a journal is answered, and not yet taken over: what the answers say is lost with it.
void Cluster::lose_master_with_answers() {
  loses_answers_ = true;
  world_.after(kAnswersAwaited, [this] {
    if (std::exchange(loses_answers_, false)) lose_master();
  });
}

void Cluster::restore_from(const std::string& from) {
  std::vector<std::string> replicas;
  for (const auto& node : nodes_) replicas.push_back(node->path());
  if (broker_->running()) broker_->crash();
  world_.note("B: its disk is lost; restored from " + from.substr(folder_.size() + 1));
  ++world_.counts[from == backup_ ? "restored from a backup" : "restored from a replica"];
  // A person takes longer than a kernel.
  for (const auto& node : nodes_) disk_.write_back(node->party());
  checkers_.master_lost(replicas);
  checkers_.expects_history();
  checkers_.closes(master_);
  // Or the file is still there, as far as anybody can see: it is kept aside.
  if (world_.chance(0.5)) {
    for (const char* const ending : {"", "-wal", "-shm"}) {
      std::filesystem::rename(master_ + ending, folder_ + "/lost.db" + ending, ignored_);
    }
  }
  const Randomness randomness{[this] { return world_.random_id(); },
                              [this] { return broker_->clocks().read(); }};
  // The new computer may fail a person as well: begun anew.
  disk_.heal();
  Result<Restoration> done = Error{Errc::kFailed, {}};
  for (int tries = 0; tries == 0 || disk_.dead(kBrokerParty); ++tries) {
    if (disk_.dead(kBrokerParty)) disk_.bury(kBrokerParty);
    try {
      const SimDisk::Work working(kBrokerParty, tries < 3 ? kRestoreCrash : 0);
      done = restore({master_, "csa", "sim"}, from, randomness);
    } catch (const SimCrash&) {
      ++world_.counts["restore cut short"];
    }
  }
  if (!done) throw Violation("restore: " + done.error().what);
  checkers_.master_restored(done->meta.position);
  broker_->start();
}

void Cluster::recover_lost() {
  std::vector<std::int64_t> ids;
  {
    const Database db(master_, Database::Mode::kReadOnly);
    Statement rows = db.prepare("SELECT id FROM csa_lost WHERE state = 'lost' ORDER BY id");
    while (rows.step()) ids.push_back(rows.column_int(0));
  }
  // Of a doubtful one a person must know more than this one does.
  if (checkers_.all_recovered() != 0) ++world_.counts["run with doubtful transactions"];
  if (ids.empty()) return;
  world_.note("B: " + std::to_string(ids.size()) + " lost transactions are recovered");
  world_.counts["recovered"] += ids.size();
  const NodeId person{world_.random_id()};
  std::uint64_t counter = 0;
  for (const std::int64_t id : ids) {
    const Conflict request{TxId{person, ++counter}, id, ConflictVerb::kRecover};
    const CommitResult result = broker_->ledger().commit({{request, "broker", counter}});
    if (const auto* const nack = std::get_if<Nack>(&result.outcomes.at(0).answer)) {
      throw Violation("recover: " + nack->message);
    }
    checkers_.master_at(result.head, result.pieces);
  }
  // The hub has not heard of it: as after a crash between commit and answer.
  broker_->crash();
  broker_->start();
}

// A node's computer gets an image of its disk back that was made some time before.
void Cluster::schedule_set_back() {
  SimNode& node = *nodes_[world_.random(nodes_.size())];
  const bool wanted = options_.has("set back");
  const auto stop = [this, &node] {
    if (node.running()) node.crash();
    died(node);
  };
  const std::string image = folder_ + "/image";
  const milliseconds at{1000 + world_.random(15000)};
  const milliseconds back = at + milliseconds{3000 + world_.random(15000)};
  // Its network comes up later then, so that it works alone first, and asks for the same again.
  const bool alone = world_.chance(0.6);
  if (!wanted) return;
  world_.after(at, [this, &node, stop, image, alone] {
    stop();
    disk_.make_image(node.party(), image);
    if (alone) repeats_itself_ = &node;
    node.start();
  });
  world_.after(back, [this, &node, stop, image, alone] {
    stop();
    world_.note(node.name() + ": its disk is set back");
    ++world_.counts["node set back"];
    disk_.restore_image(node.party(), image);
    checkers_.replica_set_back(node.party());
    set_back_ = true;
    if (alone) {
      world_.cut(node.party(), kBrokerParty, true);
      world_.after(milliseconds{3500 + world_.random(3000)},
                   [this, &node] { world_.mend(node.party(), kBrokerParty); });
    }
    node.start();
  });
}

}  // namespace csa::sim
