// What a cluster must do when nothing is broken: the last phases of a simulated run.
#include "common/limits.h"
#include "tests/sim/cluster.h"

namespace csa::sim {
namespace {

using std::chrono::seconds;

constexpr seconds kSilence{12};  // longer than a heartbeat, and than any timeout of a link
constexpr seconds kLossy{8};
constexpr double kLostUpdates = 0.3;
constexpr Duration kSleep = limits::kNodeTimeout + seconds{5};  // the broker forgets the sleeper
constexpr milliseconds kAwake{2000};   // until a sleeper is live and greeted again
constexpr milliseconds kAnswer{1000};  // to a write

}  // namespace

void Cluster::run_calm(Duration time) {
  const TimePoint end = world_.now() + time;
  while (world_.now() < end) {
    const TimePoint slice = world_.now() + milliseconds{10};
    while (world_.step(slice)) {
    }
    liveness_->check();
    for (const auto& [tag, due] : answers_due_) {
      if (due < world_.now()) throw Violation(tag + " was not answered in a calm network");
    }
  }
}

void Cluster::calm_write(SimNode& node) {
  const std::string tag = node.name() + "-" + std::to_string(next_tag_++);
  checkers_.sent(tag);
  answers_due_[tag] = world_.now() + kAnswer;
  Write write;
  const bool wrong = world_.chance(0.2);  // its key is taken
  write.sql =
      wrong ? "INSERT INTO account VALUES (1, 0)" : "INSERT INTO tag (name) VALUES ('" + tag + "')";
  const WriteStatus expected = wrong ? WriteStatus::kRejected : WriteStatus::kCommitted;
  node.write(write, seconds{20}, [this, &node, tag, expected](const WriteDone& done) {
    checkers_.answered(node.party(), tag, done);
    answers_due_.erase(tag);
    if (done.status != expected) {
      throw Violation(tag + " was not " +
                      (expected == WriteStatus::kRejected ? "rejected" : "committed") +
                      " in a calm network: " + done.message + done.nack.message);
    }
    if (done.visible) checkers_.visible(node.party(), node.path(), tag);
  });
}

void Cluster::schedule_calm_writes(SimNode& node, TimePoint end) {
  world_.after(milliseconds{20 + world_.random(1200)}, [this, &node, end] {
    if (world_.now() > end) return;
    calm_write(node);
    schedule_calm_writes(node, end);
  });
}

// Nobody writes: HEAD and heartbeats alone keep the links.
void Cluster::be_silent() { run_calm(kSilence); }

void Cluster::lose_updates() {
  world_.faults.drop_update = kLostUpdates;
  for (const auto& node : nodes_) schedule_calm_writes(*node, world_.now() + kLossy);
  run_calm(kLossy + seconds{2});
  world_.faults.drop_update = 0;
}

void Cluster::let_one_sleep() {
  SimNode& sleeper = *nodes_[world_.random(nodes_.size())];
  liveness_->excuse(sleeper);
  sleeper.sleep(std::chrono::duration_cast<milliseconds>(kSleep));
  for (const auto& node : nodes_) {
    if (node.get() != &sleeper) calm_write(*node);
  }
  run_calm(kSleep + kAwake);
  bool known = false;
  for (const NodeStatus& status : broker_->hub().nodes()) {
    known = known || status.node == sleeper.view().node;
  }
  if (!known || !settled()) {
    throw Violation("node " + sleeper.name() + " slept, awoke " + std::to_string(kAwake.count()) +
                    " ms ago, and " + (known ? "is not live" : "the broker does not know it"));
  }
  liveness_->set_calm(true);
  calm_write(sleeper);
  run_calm(kAnswer + milliseconds{100});
}

void Cluster::stay_calm() {
  liveness_->set_calm(true);
  be_silent();
  lose_updates();
  let_one_sleep();
  if (!settled()) throw Violation("after calm phases not every node is live and equal");
}

}  // namespace csa::sim
