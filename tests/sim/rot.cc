// What a node's disk keeps wrongly while its computer is down, at the end of a run: who meets it
// notices, `verify` tells it, a full copy heals it, or the replica is refused with words that say
// how to go on; and nobody else is touched by it.
#include <nlohmann/json.hpp>

#include "common/sqlite.h"
#include "common/store_meta.h"
#include "tests/sim/cluster.h"
#include "tests/support/compare.h"

namespace csa::sim {
namespace {

using std::chrono::seconds;

constexpr seconds kAnswered{60};
constexpr seconds kNoticed{60};

std::string difference_from(const std::string& master, const std::string& replica) {
  try {
    return test::difference(Database(master, Database::Mode::kReadOnly),
                            Database(replica, Database::Mode::kReadOnly));
  } catch (const SqliteError& error) {
    return error.what();
  }
}

// Its indexes and free pages too, and csa's own rows that nobody compares.
bool is_sound_copy(const std::string& master, const std::string& replica) {
  if (!difference_from(master, replica).empty()) return false;
  const Database db(replica, Database::Mode::kReadOnly);
  return db.query_text("PRAGMA integrity_check") == "ok" && !unsound_row(db);
}

// What is told of a node's log, which is nobody's rows.
bool is_told_of_log(const nlohmann::json& told) {
  return told.dump().find("\"its log\"") != std::string::npos;
}

}  // namespace

void Cluster::keep_wrongly() {
  liveness_->set_calm(false);
  verify_all();
  SimNode& node = *nodes_[world_.random(nodes_.size())];
  switch (world_.random(5)) {
    case 0:
      return keep_row_wrongly(node);
    case 1:
      return keep_bit_wrongly(node);
    case 2:
      return keep_log_wrongly(node);
    case 3:
      return keep_journal_wrongly(node);
    default:
      return keep_spool_wrongly(node);
  }
}

void Cluster::stop_to_rot(SimNode& node) {
  node.crash();
  checkers_.replica_restarted(node.party());
  rotten_.insert(node.party());
  disk_.rot(node.party());
}

// A value of a row: the next change of that row finds it.
void Cluster::keep_row_wrongly(SimNode& node) {
  const std::string id = std::to_string(1 + world_.random(3));
  const std::string next = std::to_string(1 + std::stoi(id) % 3);
  stop_to_rot(node);
  Database(node.path(), Database::Mode::kReadWrite)
      .exec("UPDATE account SET balance = balance + 64 WHERE id = " + id);
  world_.note(node.name() + ": account " + id + " is another one on its disk");
  ++world_.counts["row kept wrongly"];
  node.start();
  heal_and_settle();
  bool done = false;
  Write write;
  write.sql = "UPDATE account SET balance = balance - 1 WHERE id = " + id +
              "; UPDATE account SET balance = balance + 1 WHERE id = " + next;
  node.write(write, kAnswered, [&done](const WriteDone&) { done = true; });
  run_until([&done] { return done; }, kAnswered, "an answer to a write");
  heal_and_settle();
  checkers_.equal(node.path());
  rotten_.erase(node.party());
}

// Anywhere in its files.
void Cluster::keep_bit_wrongly(SimNode& node) {
  stop_to_rot(node);
  const std::string file = world_.chance(0.3) ? node.path() + "-wal" : node.path();
  for (std::uint64_t n = 1 + world_.random(4); n > 0; --n) {
    const std::uint64_t at = disk_.flip_bit(file);
    world_.note(node.name() + ": byte " + std::to_string(at) + " of " + file + " is another one");
  }
  ++world_.counts["bit kept wrongly"];
  node.start();
  const TimePoint end = world_.now() + kNoticed;
  while (world_.now() < end) {
    const TimePoint slice = world_.now() + milliseconds{100};
    while (world_.step(slice)) {
    }
  }
  if (!settled()) {
    const bool refused = node.running() && node.view().state == NodeState::kRefused;
    if (!refused) throw Violation("node " + node.name() + " has a wrong bit, and gets not on");
    ++world_.counts["refused with a wrong bit"];
    node.crash();
    checkers_.replica_restarted(node.party());
    node.move_away();
    node.start();
    heal_and_settle();
  }
  verify_all();
  heal_and_settle();
  checkers_.equal(node.path());
  checkers_.sound(node.path());
  rotten_.erase(node.party());
}

// What is told of each node is so.
void Cluster::verify_all() {
  if (!admin_) admin_ = std::make_unique<SimAdmin>(world_, *broker_, kAdminParty);
  std::map<int, bool> differed;
  for (const auto& node : nodes_) {
    differed[node->party()] = !is_sound_copy(master_, node->path());
  }
  std::string json;
  admin_->verify([&json](const AdminReply& reply) { json = reply.json; });
  run_until([&json] { return !json.empty(); }, kAnswered, "an answer to csa-admin verify");
  const nlohmann::json told = nlohmann::json::parse(json);
  std::map<std::string, nlohmann::json> by_node;
  for (const auto& one : told.at("nodes")) by_node[one.at("node").get<std::string>()] = one;
  for (const auto& node : nodes_) {
    const auto one = by_node.find(to_string(node->view().node));
    if (one == by_node.end()) throw Violation("verify does not tell of node " + node->name());
    const nlohmann::json& word = one->second.at("equal");
    ++world_.counts[word == true ? "told as equal" : "told as different"];
    // Who differed heals at once, and who differs still was not told as equal.
    const bool equal = is_sound_copy(master_, node->path());
    const bool in_log = rotten_.contains(node->party()) && is_told_of_log(one->second);
    if (word == true ? equal : differed[node->party()] || in_log) continue;
    throw Violation("verify tells of node " + node->name() + " " + one->second.dump() +
                    (equal ? ", and it equals the master" : ", and it does not"));
  }
}

}  // namespace csa::sim
