#include "tests/sim/cluster.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "broker/opening.h"
#include "common/limits.h"
#include "common/sqlite.h"
#include "tests/support/edit_story.h"

namespace csa::sim {
namespace {

constexpr std::chrono::seconds kHealTime{400};
constexpr double kCrashInCopy = 0.2;  // rare in a run, and short

constexpr const char* kSchema = R"sql(
CREATE TABLE tag (name TEXT NOT NULL, at REAL DEFAULT (julianday('now')));
CREATE TABLE item (id INTEGER PRIMARY KEY AUTOINCREMENT, qty INTEGER NOT NULL CHECK (qty >= 0),
  note BLOB);
CREATE TABLE pair (k TEXT PRIMARY KEY, item INTEGER REFERENCES item (id) ON DELETE CASCADE)
  WITHOUT ROWID;
CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
INSERT INTO account VALUES (1, 1000), (2, 1000), (3, 1000);
CREATE TABLE twin (tag TEXT, side TEXT, extra INTEGER, PRIMARY KEY (tag, side));
CREATE TABLE again (what TEXT);
CREATE TABLE seen (what TEXT, n INTEGER);
CREATE TRIGGER item_seen AFTER UPDATE ON item BEGIN
  INSERT INTO seen VALUES (hex(randomblob(4)), NEW.id);
  DELETE FROM seen WHERE rowid <= (SELECT max(rowid) FROM seen) - 20;
END;
)sql";

}  // namespace

Cluster::Cluster(std::uint64_t seed, std::string folder, RunOptions options)
    : options_(std::move(options)),
      world_(seed),
      folder_(std::move(folder)),
      master_(folder_ + "/0/master.db"),
      checkers_(master_) {
  world_.prints_notes = options_.verbose;
}

void Cluster::create_master() {
  std::filesystem::create_directories(folder_ + "/0/spool");
  const Randomness randomness{[this] { return world_.random_id(); },
                              [this] { return LocalTime{world_.wall()}; }};
  // The nodes' files, made before they know the master's, have pages of 4096 bytes.
  const std::string pages = world_.chance(0.3) ? "PRAGMA page_size=1024;" : "";
  const Result<Meta> meta =
      create({master_, "csa", "sim"},
             {(options_.has("page sizes") ? pages : "") + kSchema + test::EditStory::schema()},
             randomness);
  if (!meta) throw Violation("create: " + meta.error().what);
  // A transfer wins or loses whole: the sum holds, whoever comes back in which order.
  Database(master_, Database::Mode::kReadWrite)
      .exec("INSERT INTO csa_rule VALUES ('account', '', 'atomic')");
  checkers_.master_at(meta->position, {});
}

void Cluster::prepare() {
  create_master();
  disk_.on_buried = [this](int party) { check_left(party); };
  broker_ = std::make_unique<SimBroker>(world_, master_, folder_ + "/0/spool");
  broker_->on_commit = [this](const CommitResult& result) {
    checkers_.replayed(result.outcomes);
    checkers_.master_at(result.head, result.pieces);
    if (faults_end_ == TimePoint{}) note_arrivals(result);
    liveness_->committed(result.head.seq, nodes_);
  };
  broker_->on_found = [this](const Position& at, const auto& settled) {
    checkers_.in_history_of(at);
    checkers_.has_outcomes(settled);
  };
  broker_->on_disturbed = [this] {
    checkers_.closes(master_);
    liveness_->broker_disturbed(nodes_);
  };
  liveness_ = std::make_unique<Liveness>(world_, *broker_);
  // Often so short that the floor overtakes who was away.
  broker_->log_keep = (world_.chance(0.4) ? 32 : 4096) * limits::kKiB;
  broker_->start();
  // Large ones are rarer: they take longer and show little more.
  const std::uint64_t drawn = 2 + (world_.chance(0.15) ? world_.random(6) : world_.random(3));
  const std::uint64_t count = std::min<std::uint64_t>(drawn, options_.nodes_max);
  const bool compare_often = world_.chance(0.3);
  for (std::uint64_t i = 1; i <= count; ++i) {
    std::filesystem::create_directories(folder_ + "/" + std::to_string(i));
    nodes_.push_back(std::make_unique<SimNode>(world_, *broker_, static_cast<int>(i),
                                               folder_ + "/" + std::to_string(i) + "/replica.db"));
    nodes_.back()->on_replica = [this](SimNode& node, const ReplicaState& state) {
      if (!state.position || rotten_.contains(node.party())) return;
      if (loses_answers_ && state.journal.entries > 0 && state.journal.waiting == 0) {
        loses_answers_ = false;
        world_.after(microseconds{world_.random(1000)}, [this] { lose_master(); });
      }
      checkers_.replica_at(node.party(), node.path(), *state.position, state.journal.entries > 0);
      liveness_->reaches(node, state.position->seq);
    };
    nodes_.back()->on_heard = [this](SimNode& node, const Message& message) {
      liveness_->hears(node, message);
    };
    nodes_.back()->on_open = [this](SimNode& node) {
      if (!rotten_.contains(node.party())) liveness_->opens(node);
    };
    nodes_.back()->on_ask_copy = [this](SimNode& node) {
      copies_asked_.insert(node.party());
      if (!rotten_.contains(node.party())) liveness_->asks_copy(node);
    };
    nodes_.back()->on_checked = [this](SimNode& node, const Checked& checked) {
      ++world_.counts[checked.tables.empty() ? "not compared" : "compared"];
      if (checked.differences.empty() || rotten_.contains(node.party())) return;
      throw Violation("node " + node.name() + " finds that it differs in " +
                      checked.differences.front().table);
    };
    nodes_.back()->on_wrong_copy = [this](SimNode& node, const std::string& why) {
      if (rotten_.contains(node.party())) return;
      throw Violation("node " + node.name() + " put a copy together wrongly: " + why);
    };
    nodes_.back()->on_end = [this](SimNode& node) { checkers_.closes(node.path()); };
    nodes_.back()->on_crash = [this](SimNode& node) {
      died(node);
      world_.after(milliseconds{world_.random(8000)}, [&node] {
        if (!node.running()) node.start();
      });
    };
    if (compare_often) nodes_.back()->verify_every = std::chrono::seconds{10};
    nodes_.back()->start();
  }
}

// kill -9 takes nothing back.
void Cluster::died(const SimNode& node) {
  if (disk_.lost_power(node.party())) checkers_.replica_restarted(node.party());
}

void Cluster::let_nodes_crash(double probability) {
  for (const auto& node : nodes_) {
    node->crash_probability = probability;
    node->crash_in_copy = probability > 0 ? kCrashInCopy : 0;
  }
}

void Cluster::begin_faults() {
  for (const auto& node : nodes_) schedule_writes(*node);
  // A share of the runs has a quiet network, others are rough in one way or in all.
  World& w = world_;
  if (w.chance(0.7)) w.faults.drop = 0.02 * static_cast<double>(w.random(4));
  if (w.chance(0.5)) w.faults.duplicate = 0.05;
  if (w.chance(0.6)) w.faults.slow = 0.1;
  if (w.chance(0.3)) w.faults.damage = 0.01;
  if (w.chance(0.3)) w.faults.rot = 0.1;
  if (w.chance(0.5)) broker_->crash_probability = 0.01;
  if (w.chance(0.5)) let_nodes_crash(0.01);
  if (!options_.has("drops")) w.faults.drop = 0;
  if (!options_.has("duplicates")) w.faults.duplicate = 0;
  if (!options_.has("delays")) w.faults.slow = 0;
  if (!options_.has("rot")) w.faults.rot = 0;
  if (!options_.has("broker crash points")) broker_->crash_probability = 0;
  if (!options_.has("node crash points")) let_nodes_crash(0);
  faults_end_ = w.now() + options_.fault_time;
  // What was lost before a change of the schema is in a kept file only, and nobody offers it.
  const bool loses_master = w.chance(0.25);
  if (loses_master && options_.has("lost master")) {
    w.after(milliseconds{1000 + w.random(20000)}, [this] { back_up(); });
    const bool with_answers = w.chance(0.5);
    w.after(milliseconds{10000 + w.random(25000)},
            [this, with_answers] { with_answers ? lose_master_with_answers() : lose_master(); });
  }
  if (w.chance(0.5)) schedule_migrations();
  huge_rows_ = w.chance(0.15);
  if (w.chance(0.25)) schedule_set_back();
  schedule_fault();
}

void Cluster::schedule_fault() {
  world_.after(milliseconds{500 + world_.random(8000)}, [this] {
    if (world_.now() > faults_end_) return;
    one_fault();
    schedule_fault();
  });
}

const char* Cluster::part_of(std::uint64_t fault) {
  static constexpr const char* kParts[] = {
      "crashes",     "crashes", "partitions",    "partitions",  "partitions", "slow disk",
      "clock jumps", "sleep",   "clogged links", "disk faults", "disk faults"};
  return kParts[fault];
}

void Cluster::one_fault() {
  SimNode& node = *nodes_[world_.random(nodes_.size())];
  const std::uint64_t fault = world_.random(11);
  if (options_.has(part_of(fault))) begin_fault(fault, node);
  // Whatever was broken comes back after a while.
  world_.after(milliseconds{world_.random(12000)}, [this, &node] {
    world_.heal();
    disk_.mend();
    if (!broker_->running()) broker_->start();
    if (!node.running()) node.start();
  });
}

void Cluster::begin_fault(std::uint64_t fault, SimNode& node) {
  switch (fault) {
    case 0:
      if (broker_->running()) broker_->crash();
      break;
    case 1:
      if (node.running()) {
        node.crash();
        died(node);
      }
      break;
    case 2:
      world_.cut(kBrokerParty, node.party(), true);
      break;
    case 3:
      world_.cut(kBrokerParty, node.party(), false);
      break;
    case 4:
      world_.cut(node.party(), kBrokerParty, false);
      break;
    case 5:
      broker_->slow_disk = !broker_->slow_disk;
      ++world_.counts["slow disk"];
      break;
    case 6:
      (world_.chance(0.5) ? broker_->clocks() : node.clocks()).set(any_hours(2));
      ++world_.counts["clock jump"];
      break;
    case 7:
      if (node.running() && !node.asleep()) node.sleep(milliseconds{1000 + world_.random(40000)});
      break;
    case 8:
      clog_links();
      break;
    default:
      disk_fault(node);
      break;
  }
}

// Link by link, and free again in another order: what was sent meanwhile arrives at once, behind
// what others did.
void Cluster::clog_links() {
  milliseconds begin{0};
  for (const auto& node : nodes_) {
    begin += milliseconds{world_.random(1500)};
    const milliseconds time{500 + world_.random(8000)};
    const bool both = world_.chance(0.5);
    world_.after(begin, [this, party = node->party(), time, both] {
      world_.clog(kBrokerParty, party, time);
      if (both) world_.clog(party, kBrokerParty, time);
    });
  }
}

bool Cluster::settled() const {
  if (!broker_->running()) return false;
  for (const auto& node : nodes_) {
    if (!node->running() || node->asleep()) return false;
    const Session::View view = node->view();
    if (view.state != NodeState::kLive || !view.position) return false;
    if (!(*view.position == broker_->hub().head())) return false;
  }
  return true;
}

void Cluster::heal_and_settle() {
  world_.faults = Faults{};
  world_.heal();
  disk_.heal();
  broker_->crash_probability = 0;
  let_nodes_crash(0);
  broker_->slow_disk = false;
  const TimePoint end = world_.now() + kHealTime;
  while (world_.now() < end) {
    if (!broker_->running()) broker_->start();
    for (const auto& node : nodes_) {
      if (!node->running()) node->start();
    }
    if (settled() && world_.now() > faults_end_ + std::chrono::seconds{60}) return;
    const TimePoint slice = world_.now() + milliseconds{100};
    while (world_.step(slice)) {
    }
  }
  throw Violation("the network is healed and quiet, but not every node became live and equal");
}

namespace {

bool has_journal(const std::string& replica) {
  const Database db(replica, Database::Mode::kReadOnly);
  return db.query_int("SELECT 1 FROM csa_journal LIMIT 1").has_value();
}

}  // namespace

void Cluster::compare_all() {
  checkers_.tags();
  checkers_.alike();
  for (const auto& node : nodes_) {
    // Longer than any of them may take.
    if (node->unanswered() != 0) {
      throw Violation(std::to_string(node->unanswered()) + " writes of node " + node->name() +
                      " were never answered");
    }
    checkers_.equal(node->path());
    if (has_journal(node->path())) {
      throw Violation("node " + node->name() + " keeps a journal in a healed and quiet network");
    }
    // Indexes are not compared.
    if (!rotten_.contains(node->party())) checkers_.sound(node->path());
  }
  checkers_.sound(master_);
}

RunReport Cluster::run() {
  RunReport report;
  try {
    prepare();
    // Each part in a share of the runs: more seeds show more than longer runs.
    if (world_.chance(0.4) && options_.has("offline story")) tell_offline_story();
    begin_faults();
    while (world_.now() < faults_end_) {
      if (!world_.step(faults_end_)) break;
    }
    heal_and_settle();
    recover_lost();
    heal_and_settle();
    if (world_.chance(0.3) && options_.has("calm")) stay_calm();
    if (world_.chance(0.4) && options_.has("rot")) keep_wrongly();
    compare_all();
    report.ok = true;
  } catch (const std::exception& error) {
    report.violation = error.what();
  }
  report.transcript = world_.transcript();
  report.counts = world_.counts;
  report.acknowledged = checkers_.acknowledged();
  return report;
}

RunReport run_seed(std::uint64_t seed, const RunOptions& options) {
  // Memory is enough: the sync that a power cut needs is not what is simulated here.
  std::error_code ignored;
  const bool shm = std::filesystem::is_directory("/dev/shm", ignored);
  std::string folder =
      (shm ? std::string("/dev/shm") : std::filesystem::temp_directory_path().string()) +
      "/csa-sim-XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return {false, "cannot make " + folder, {}, {}, 0};
  const auto run = [&] {
    RunReport report = Cluster(seed, folder, options).run();
    std::filesystem::remove_all(folder, ignored);
    return report;
  };
  RunReport report = run();
  if (!options.twice || !report.ok) return report;
  RunReport again = run();
  if (!again.ok || again.transcript == report.transcript) return again;
  const auto [line, other] = std::ranges::mismatch(report.transcript, again.transcript);
  again.ok = false;
  again.violation = "a second run of the seed went another way after line " +
                    std::to_string(line - report.transcript.begin());
  return again;
}

}  // namespace csa::sim
