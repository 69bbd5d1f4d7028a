// Nodes part, edit the same rows and others under wrong clocks, and come back in any order over a
// bad network, while they and the broker crash. Others stay, or part later, and edit at the master.
// Whatever happened on the way, the rows are what the rules say of who edited what when
// (tests/support/edit_story.h).
#include <algorithm>
#include <numeric>
#include <set>

#include "tests/sim/cluster.h"
#include "tests/support/edit_story.h"

namespace csa::sim {
namespace {

using std::chrono::seconds;
using test::EditStory;
using test::StoryEdit;

constexpr seconds kParting{60};
constexpr seconds kReturn{30};
constexpr std::int64_t kHour = 3'600'000;
constexpr double kOnlineCrash = 0.05;

bool is_alone(const SimNode& node) {
  return node.running() && node.view().state == NodeState::kStandalone;
}

}  // namespace

void Cluster::run_until(const std::function<bool()>& done, Duration within, const char* what) {
  const TimePoint end = world_.now() + within;
  while (!done()) {
    if (world_.now() >= end) throw Violation(std::string("it did not happen in time: ") + what);
    if (!broker_->running() && world_.chance(0.02)) broker_->start();
    const TimePoint slice = world_.now() + milliseconds{20};
    while (world_.step(slice)) {
    }
  }
}

// It has all that the master has.
bool Cluster::is_equal(const SimNode& node) const {
  if (!broker_->running() || !node.running()) return false;
  const Session::View view = node.view();
  return view.state == NodeState::kLive && view.position == broker_->ledger().meta().position;
}

void Cluster::tell_offline_story() {
  const EditStory story(world_.random(UINT32_MAX), nodes_.size());
  set_story_rules(story);
  for (const auto& node : nodes_) node->clocks().set(any_hours(5));
  run_until([this] { return settled(); }, kParting, "all nodes live");
  part(story, 0);
  world_.note("offline story: " + story.told());
  // The broker's computer is booted, or nodes' are, each once: then every edit's time is known.
  bool broker_boots = world_.chance(0.4);
  const bool nodes_boot = !broker_boots && world_.chance(0.5);
  const bool may_move = !broker_boots && !nodes_boot;  // to another computer: a scale of its own
  std::set<int> booted;
  for (const StoryEdit& edit : story.edits()) {
    part(story, edit.at);
    SimNode& node = *nodes_.at(edit.node);
    if (world_.chance(0.1)) {
      node.crash();
      died(node);
      if (nodes_boot && booted.insert(node.party()).second) {
        node.clocks().reboot();
        node.clocks().set(any_hours(3));
        ++world_.counts["node boots offline"];
      }
      node.start();
    }
    if (world_.chance(0.2)) node.clocks().set(any_hours(3));
    if (world_.chance(0.2)) broker_->clocks().set(any_hours(3));
    if (broker_boots && world_.chance(0.1)) {
      broker_boots = false;
      boot_broker();
    }
    make_edit(node, edit);
  }
  come_back(may_move);
  heal_and_settle();
  check_story(story);
  ++world_.counts["offline story"];
}

// Those whose time it is are alone from now on, with all that the master has.
void Cluster::part(const EditStory& story, std::int64_t at) {
  std::vector<SimNode*> parting;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const bool together = world_.connected(kBrokerParty, nodes_[i]->party());
    if (story.parts_at(i) == at && together) parting.push_back(nodes_[i].get());
  }
  for (SimNode* const node : parting) {
    const auto ready = [&] { return on_their_way_.empty() && is_equal(*node); };
    run_until(ready, kParting, "a node equal before it parts");
    world_.cut(kBrokerParty, node->party(), true);
  }
  const auto alone = [](const SimNode* node) { return is_alone(*node); };
  run_until([&] { return std::ranges::all_of(parting, alone); }, kParting, "nodes standalone");
  // They know it however they end from now on.
  for (const SimNode* const node : parting) disk_.write_back(node->party());
}

// Not within an error of an edit. Its wall clock goes on by any hours while it is down: then
// broker's time has a step that nobody but the nodes sees.
void Cluster::boot_broker() {
  const TimePoint due = world_.now() + seconds{2};
  run_until([&] { return world_.now() >= due; }, kParting, "the boot of the broker's computer");
  run_until([this] { return broker_->running(); }, kParting, "the broker up");
  broker_->ledger().housekeeping();
  broker_->crash();
  broker_->clocks().reboot();
  broker_->clocks().put_on(milliseconds{any_hours(2) + milliseconds{2 * kHour}});
  broker_->start();
  ++world_.counts["broker boots, nodes offline"];
}

milliseconds Cluster::any_hours(std::int64_t hours) {
  const auto span = static_cast<std::uint64_t>(2 * hours * kHour);
  return milliseconds{static_cast<std::int64_t>(world_.random(span)) - hours * kHour};
}

void Cluster::set_story_rules(const EditStory& story) {
  const Rules rules{TxId{NodeId{world_.random_id()}, 1}, story.rules(), false};
  run_until([this] { return broker_->running(); }, kParting, "the broker up");
  const CommitResult result = broker_->ledger().commit({{rules, "desk", 1}});
  if (const auto* const nack = std::get_if<Nack>(&result.outcomes.at(0).answer)) {
    throw Violation("rules: " + nack->message);
  }
  checkers_.master_at(result.head, result.pieces);
  broker_->crash();  // the hub has not heard of it
  broker_->start();
}

// In their order, each when it came first.
void Cluster::note_arrivals(const CommitResult& result) {
  for (const auto& outcome : result.outcomes) {
    TxId tx;
    if (const auto* const ack = std::get_if<Ack>(&outcome.answer)) tx = ack->tx;
    const auto* const replayed = std::get_if<Replayed>(&outcome.answer);
    if (replayed != nullptr && is_outcome(replayed->result)) tx = replayed->tx;
    if (tx == TxId{} || std::ranges::find(arrivals_, tx) != arrivals_.end()) continue;
    arrivals_.push_back(tx);
    on_their_way_.erase(tx);
  }
}

// Clearly later than the one before: what is meant is not the rules' answer to a tie. The broker
// may crash meanwhile: then an online edit is journaled, under the TxId that it was sent with.
void Cluster::make_edit(SimNode& node, const StoryEdit& edit) {
  const TimePoint due = world_.now() + milliseconds{1000 + world_.random(2000)};
  run_until([&] { return world_.now() >= due; }, kParting, "the time of an edit");
  // Whoever edits online knows what was edited online before.
  const auto ready = [&] {
    return edit.online ? on_their_way_.empty() && is_equal(node) : is_alone(node);
  };
  run_until(ready, kParting, "a node ready for its edit");
  bool done = false;
  if (edit.online) broker_->crash_probability = kOnlineCrash;
  Write write;
  write.sql = edit.sql;
  node.write(write, seconds{20}, [&](const WriteDone& answer) {
    const bool committed = edit.online && answer.status == WriteStatus::kCommitted;
    if (!committed && answer.status != WriteStatus::kJournaled) {
      throw Violation("a story's edit was neither committed nor journaled: " + answer.message +
                      answer.nack.message);
    }
    done = true;
    story_edits_[answer.tx] = edit.at;
    const bool arrived = std::ranges::find(arrivals_, answer.tx) != arrivals_.end();
    if (edit.online && !arrived) on_their_way_.insert(answer.tx);
    world_.note("edit " + std::to_string(edit.at) + " is " + to_string(answer.tx) +
                (committed ? ", committed" : ", journaled"));
    ++world_.counts[committed ? "story edit online" : "story edit"];
  });
  run_until([&] { return done; }, kParting, "an edit");
  broker_->crash_probability = 0;
}

// A node that is back has all that the master has; others are still away, with journals that begin
// in the history that ends here. False: there is none.
bool Cluster::lose_master_with_all_saved() {
  if (!broker_->running()) return false;
  for (const auto& node : nodes_) {
    if (!is_equal(*node)) continue;
    broker_->clocks().move_to(node->clocks());  // on another's, the time of edits is in doubt
    restore_from(node->path());
    ++world_.counts["master lost in an offline story"];
    return true;
  }
  return false;
}

void Cluster::come_back(bool may_lose_master) {
  bool keeps_master = !may_lose_master || !world_.chance(0.7);
  world_.faults = {0.05, 0.05, 0.1, 0.2, milliseconds{400}};
  broker_->crash_probability = 0.02;
  let_nodes_crash(0.05);
  std::vector<std::size_t> order(nodes_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::shuffle(order, world_.engine());
  milliseconds at{0};
  for (const std::size_t i : order) {
    at += milliseconds{world_.random(4000)};
    world_.after(at, [this, i] {
      world_.note("node " + nodes_[i]->name() + " is connected again");
      world_.mend(kBrokerParty, nodes_[i]->party());
    });
  }
  const TimePoint end = world_.now() + kReturn;
  while (world_.now() < end) {
    const TimePoint slice = world_.now() + milliseconds{50 + world_.random(500)};
    while (world_.step(slice)) {
    }
    if (!broker_->running()) broker_->start();
    if (!keeps_master && world_.chance(0.3)) keeps_master = lose_master_with_all_saved();
    SimNode& node = *nodes_[world_.random(nodes_.size())];
    if (!node.running()) {
      node.start();
    } else if (world_.chance(0.1)) {
      node.crash();
      died(node);
    }
  }
}

void Cluster::check_story(const EditStory& story) const {
  std::vector<std::int64_t> arrivals;
  for (const TxId& tx : arrivals_) {
    const auto edit = story_edits_.find(tx);
    if (edit != story_edits_.end()) arrivals.push_back(edit->second);
  }
  for (const StoryEdit& edit : story.edits()) {
    if (std::ranges::find(arrivals, edit.at) != arrivals.end()) continue;
    std::string names;
    for (const auto& [tx, at] : story_edits_) {
      if (at == edit.at) names += " " + to_string(tx);
    }
    throw Violation("offline story: edit " + std::to_string(edit.at) + names +
                    " did not reach the master");
  }
  const std::string expected = story.expected(arrivals);
  const auto check = [&](const std::string& who, const std::string& path) {
    const Database db(path, Database::Mode::kReadOnly);
    const std::string found = EditStory::found(db);
    if (found != expected) {
      throw Violation("offline story: " + who + " has\n" + found + "but the rules say\n" +
                      expected);
    }
    const std::string missing = story.missing(db);
    if (!missing.empty()) throw Violation("offline story: " + who + ": " + missing);
  };
  check("the master", master_);
  for (const auto& node : nodes_) check("node " + node->name(), node->path());
}

}  // namespace csa::sim
