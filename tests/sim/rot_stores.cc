// What disks keep wrongly of what csa keeps beside the rows: the log, a journal that waits, a full
// copy in the spool. What is damaged is told in words, and nothing of it becomes somebody's row.
#include <filesystem>

#include "common/sqlite.h"
#include "tests/sim/cluster.h"

namespace csa::sim {
namespace {

using std::chrono::seconds;

constexpr seconds kPatience{60};
constexpr int kWrites = 4;

// Of a column of one of the rows that `where` names.
void flip_in_row(const std::string& path, const std::string& table, const std::string& column,
                 const std::string& where, World& world) {
  const Database db(path, Database::Mode::kReadWrite);
  Statement read = db.prepare("SELECT rowid, " + column + " FROM " + table + " WHERE " + where +
                              " ORDER BY rowid");
  std::vector<std::pair<std::int64_t, Bytes>> rows;
  while (read.step()) rows.emplace_back(read.column_int(0), read.column_blob(1));
  if (rows.empty()) throw Violation("nothing in " + table + " to be kept wrongly");
  auto& [row, bytes] = rows[world.random(rows.size())];
  bytes.at(world.random(bytes.size())) ^= static_cast<std::uint8_t>(1U << world.random(8));
  Statement write = db.prepare("UPDATE " + table + " SET " + column + " = ?1 WHERE rowid = ?2");
  write.bind_blob(1, bytes).bind(2, row);
  write.run();
}

std::string spooled_in(const std::string& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string path = entry.path().string();
    if (path.ends_with(".csa-spool") && entry.file_size() > 0) return path;
  }
  return {};
}

}  // namespace

void Cluster::write_some(SimNode& node) {
  int answers = 0;
  for (int i = 0; i < kWrites; ++i) {
    const std::string tag = node.name() + "-" + std::to_string(next_tag_++);
    checkers_.sent(tag);
    Write write;
    write.sql = "INSERT INTO tag (name) VALUES ('" + tag + "')";
    node.write(write, kPatience, [this, &node, tag, &answers](const WriteDone& done) {
      checkers_.answered(node.party(), tag, done);
      ++answers;
    });
  }
  run_until([&answers] { return answers == kWrites; }, 2 * kPatience, "answers to writes");
}

// The entries that a node lacks.
void Cluster::keep_log_wrongly(SimNode& node) {
  SimNode& other = *nodes_[static_cast<std::size_t>(node.party()) % nodes_.size()];
  if (&other == &node) return;  // nobody would write meanwhile
  node.crash();
  died(node);
  const Seq before = broker_->hub().head().seq;
  write_some(other);
  broker_->crash();
  checkers_.expects_history();
  flip_in_row(master_, "csa_log", "body",
              "length(body) > 0 AND part_id >> 20 > " + std::to_string(before.value), world_);
  world_.note("B: an entry of the log after " + std::to_string(before.value) + " is another one");
  ++world_.counts["entry of the log kept wrongly"];
  rotten_.insert(node.party());
  copies_asked_.erase(node.party());
  broker_->start();
  node.start();
  heal_and_settle();
  if (!copies_asked_.contains(node.party())) {
    throw Violation("node " + node.name() + " took the log, of which an entry is another one");
  }
  checkers_.equal(node.path());
  rotten_.erase(node.party());
}

// Before it is handed over. A person types in again what is lost with it.
void Cluster::keep_journal_wrongly(SimNode& node) {
  world_.cut(kBrokerParty, node.party(), true);
  run_until([&node] { return node.view().state == NodeState::kStandalone; }, kPatience,
            "a node standalone");
  write_some(node);
  stop_to_rot(node);
  const bool part = world_.chance(0.7);
  flip_in_row(node.path(), part ? "csa_journal_part" : "csa_journal",
              part ? "body" : (world_.chance(0.5) ? "header" : "checksum"), "1", world_);
  world_.note(node.name() + ": its journal is another one");
  ++world_.counts["journal kept wrongly"];
  node.start();
  world_.heal();
  const TimePoint end = world_.now() + kPatience;
  const auto refused = [&node] {
    return node.running() && node.view().state == NodeState::kRefused;
  };
  while (world_.now() < end && !refused()) {
    const TimePoint slice = world_.now() + milliseconds{100};
    while (world_.step(slice)) {
    }
  }
  if (node.running() && !refused()) {
    throw Violation("node " + node.name() + " has a damaged journal, and no word of it");
  }
  if (node.running()) node.crash();
  checkers_.replica_set_back(node.party());
  node.move_away();
  node.start();
  heal_and_settle();
  checkers_.equal(node.path());
}

// While a node fetches it.
void Cluster::keep_spool_wrongly(SimNode& node) {
  stop_to_rot(node);
  node.move_away();
  node.start();
  const std::string spool = folder_ + "/0/spool";
  const TimePoint end = world_.now() + kPatience;
  std::string path;
  while (path.empty() && world_.step(end)) path = spooled_in(spool);
  if (!path.empty()) {
    const std::uint64_t at = disk_.flip_bit(path);
    world_.note("B: byte " + std::to_string(at) + " of a full copy is another one");
    ++world_.counts["full copy kept wrongly"];
  }
  heal_and_settle();
  checkers_.equal(node.path());
  checkers_.sound(node.path());
  rotten_.erase(node.party());
}

}  // namespace csa::sim
