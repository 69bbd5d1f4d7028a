#include "tests/sim/sim_node.h"

#include <filesystem>

#include "common/check.h"
#include "common/limits.h"
#include "node/store_jobs.h"
#include "tests/sim/checkers.h"
#include "tests/sim/sim_disk.h"

namespace csa::sim {
namespace {

// Work that is on the disk before the session hears of it; nullptr: nothing hangs on it.
const char* step_of(const StoreJob& job) {
  if (std::holds_alternative<JournalWrite>(job)) return "journaling";
  if (std::holds_alternative<MarkAnswered>(job)) return "marking";
  if (std::holds_alternative<HandOverAnew>(job)) return "unmarking";
  if (std::holds_alternative<SpoolPieces>(job)) return "spooling";
  if (std::holds_alternative<TakeOver>(job)) return "taking over";
  if (std::holds_alternative<BeginDownload>(job)) return "beginning a copy";
  if (std::holds_alternative<WriteChunk>(job)) return "a chunk";
  if (std::holds_alternative<InstallCopy>(job)) return "installing";
  if (std::holds_alternative<ReserveCounters>(job)) return "reserving counters";
  if (std::holds_alternative<RenewIdentity>(job)) return "a new identity";
  return nullptr;
}

}  // namespace

SimNode::SimNode(World& world, SimBroker& broker, int party, std::string replica)
    : world_(world),
      broker_(broker),
      party_(party),
      clocks_(world, party),
      path_(std::move(replica)) {
  log_ = Log(LogLevel::kInfo, [this](LogLevel, std::string_view line) {
    world_.note(name() + ": " + std::string(line));
    if (line.find("the full copy did not arrive whole") != line.npos) wrong_copy_ = line;
  });
}

SimNode::~SimNode() = default;

void SimNode::start() {
  ++life_;
  world_.disturb(party_);
  if (!open_replica()) return;
  if (on_replica) on_replica(*this, replica_->state());
  SessionConfig config;
  config.discovery_timeout = milliseconds{2000};
  config.verify_every = verify_every;
  config.uplink.seed = world_.random(~std::uint64_t{0});
  config.uplink.hello.app = "csa";
  config.uplink.hello.group = "sim";
  config.uplink.hello.program = "csa-sim";
  config.uplink.hello.hostname = "node-" + name();
  config.uplink.hello.incarnation = world_.random_id();
  session_ = std::make_unique<Session>(config, replica_->state(), log_);
  SelfCheckOptions check;
  check.replica = path_;
  check.pause = [](Duration) { return false; };  // it is not waited for
  check.wall_now = [this] { return clocks_.read().wall; };
  check_ = std::make_unique<SelfCheck>(std::move(check));
  session().start(world_.now());
  deadline_scheduled_ = TimePoint{};
  pump();
}

bool SimNode::open_replica() {
  Result<std::unique_ptr<Replica>> replica = Error{Errc::kFailed, {}};
  const bool alive =
      on_disk([&] { replica = Replica::open(path_, "csa", "sim", log_, Earlier::kUnknown); });
  if (!alive) return false;
  if (replica) {
    replica_ = std::move(*replica);
    return true;
  }
  world_.note(name() + ": cannot open: " + replica.error().what);
  if (!SimDisk::present().failed(party_)) {
    throw Violation("node " + name() + " cannot start: " + replica.error().what);
  }
  ++world_.counts["node cannot start"];
  if (SimDisk::present().rotten(party_)) {
    if (replica.error().what.find("mv ") == std::string::npos) {
      throw Violation("node " + name() + " is not told how to go on: " + replica.error().what);
    }
    move_away();
  }
  world_.after(milliseconds{1000}, [this] {
    if (!running()) start();
  });
  return false;
}

void SimNode::move_away() {
  for (const char* const ending : {"", "-wal", "-shm"}) {
    std::error_code ignored;
    std::filesystem::rename(path_ + ending, path_ + "-away" + ending, ignored);
  }
}

bool SimNode::on_disk(const std::function<void()>& work) {
  SimDisk::present().begin(party_);
  try {
    const SimDisk::Work working(party_, crash_probability);
    work();
  } catch (const SimCrash&) {
  } catch (const std::exception&) {
    if (!SimDisk::present().dead(party_)) throw;
  }
  if (!SimDisk::present().dead(party_)) return true;
  crash();
  if (on_crash) on_crash(*this);
  return false;
}

void SimNode::crash() {
  world_.note(name() + ": crashes");
  ++world_.counts["node crash"];
  asleep_ = false;
  inbox_.clear();
  close_links();
  if (on_end) on_end(*this);
  SimDisk::present().die(party_);
  session_.reset();
  check_.reset();
  replica_.reset();
  calls_.clear();
  SimDisk::present().bury(party_);
}

void SimNode::arrive(std::function<void()> what) {
  if (asleep_) {
    inbox_.push_back(std::move(what));
  } else {
    what();
  }
}

void SimNode::sleep(milliseconds time) {
  world_.note(name() + ": sleeps");
  ++world_.counts["sleep"];
  asleep_ = true;
  world_.after(time, [this, life = life_] {
    if (running() && life == life_) wake();
  });
}

void SimNode::wake() {
  world_.note(name() + ": awakes");
  world_.disturb(party_);
  asleep_ = false;
  for (const auto& what : std::exchange(inbox_, {})) what();
  if (!running()) return;
  if (world_.now() >= session_->deadline()) session().on_deadline(world_.now());
  pump();
}

void SimNode::leave() {
  session().leave("told to", world_.now());
  pump();
}

void SimNode::write(Write write, milliseconds timeout, std::function<void(const WriteDone&)> done) {
  const std::uint64_t call = next_call_++;
  calls_[call] = std::move(done);
  session().write({call, std::move(write), world_.now() + timeout}, world_.now());
  pump();
}

void SimNode::pump() {
  const std::string wrong = std::exchange(wrong_copy_, {});
  const bool rotten = std::exchange(rotten_copy_, rotten_copy_ && wrong.empty());
  if (!wrong.empty() && !rotten && on_wrong_copy) on_wrong_copy(*this, wrong);
  for (int turns = 0; running() && turns < 100; ++turns) {
    const std::vector<UplinkAction> actions = session_->take_actions();
    carry_out(actions);
    std::optional<StoreJob> job = session_->take_job();
    if (job) run_job(std::move(*job));
    for (CheckJob& check : session_->take_checks()) run_check(std::move(check));
    const std::vector<SessionEvent> events = session_->take_events();
    for (const SessionEvent& event : events) deliver(event);
    if (actions.empty() && !job && events.empty()) break;
  }
  if (running()) schedule_deadline();
}

// The store thread: the work is done at once, its answer arrives after a while; a crash may come
// before it, after it, or between work and answer.
void SimNode::run_job(StoreJob job) {
  const microseconds delay{100 + world_.random(2000)};
  auto shared = std::make_shared<StoreJob>(std::move(job));
  world_.after(delay, [this, life = life_, shared] {
    arrive([this, life, shared] {
      if (running() && life == life_) carry_out(*shared);
    });
  });
}

void SimNode::carry_out(StoreJob& job) {
  if (auto* const offline = std::get_if<JournalWrite>(&job)) {
    ++world_.counts["offline write"];
    offline->write.may_take = Duration::max();  // a statement runs in real time
  }
  const char* const step = step_of(job);
  const bool copying = std::holds_alternative<WriteChunk>(job);
  const bool installing = std::holds_alternative<InstallCopy>(job);
  const bool told = !has_no_answer(job);
  StoreAnswer answer;
  const bool alive = on_disk([&] {
    try {
      if (std::holds_alternative<ProbeDisk>(job) && SimDisk::present().full(party_)) {
        answer = [](Session& session, TimePoint now) { session.on_probe(false, now); };
        return;
      }
      answer = run_store_job(std::move(job), *replica_);
    } catch (const std::exception& error) {
      answer = store_failed(error);
      if (!told) answer = {};
    }
    if (!world_.chance(0.1)) return;
    try {
      replica_->housekeeping();
    } catch (const std::exception& error) {
      static_cast<void>(store_failed(error));  // is only logged
    }
  });
  if (installing) ++world_.counts["full copy"];
  if (!alive) return;
  if (copying && world_.chance(world_.faults.rot)) {
    SimDisk::present().flip_bit(path_ + "-csa-copy");
    rotten_copy_ = true;
    world_.disturb(party_);
    ++world_.counts["bit of a full copy kept wrongly"];
  }
  if (on_replica) on_replica(*this, replica_->state());
  if (step != nullptr && crash_point(step, copying ? crash_in_copy : 0)) return;
  if (!answer) return;
  world_.after(microseconds{50 + world_.random(500)},
               [this, life = life_, answer = std::move(answer)] {
                 arrive([this, life, answer] {
                   if (!running() || life != life_) return;
                   answer(session(), world_.now());
                   pump();
                 });
               });
}

void SimNode::run_check(CheckJob job) {
  const microseconds delay{500 + world_.random(5000)};
  world_.after(delay, [this, life = life_, shared = std::make_shared<CheckJob>(std::move(job))] {
    arrive([this, life, shared] {
      if (!running() || life != life_) return;
      std::optional<CheckAnswer> answer;
      if (!on_disk([&] { answer = check_->take(std::move(*shared)); }) || !answer) return;
      const auto* const checked = std::get_if<Checked>(&*answer);
      if (checked != nullptr && on_checked) on_checked(*this, *checked);
      session().on_check(std::move(*answer), check_->kept(), world_.now());
      pump();
    });
  });
}

// As the store thread tells it.
StoreAnswer SimNode::store_failed(const std::exception& error) {
  SimDisk& disk = SimDisk::present();
  if (!disk.dead(party_) && !disk.failed(party_)) {
    throw Violation("the store of node " + name() + " failed: " + error.what());
  }
  world_.note(name() + ": its store failed: " + error.what());
  world_.disturb(party_);
  return [failure = store_failure_of(error, path_)](Session& session, TimePoint now) {
    session.on_store_failed(failure.error, failure.disk_full, now);
  };
}

bool SimNode::crash_point(const char* label, double too) {
  if (!world_.chance(crash_probability + too)) return false;
  world_.note(name() + ": crash point after " + label);
  ++world_.counts[std::string("node crash after ") + label];
  crash();
  if (on_crash) on_crash(*this);
  return true;
}

Session& SimNode::session() {
  session_->set_local_time(clocks_.read());
  return *session_;
}

void SimNode::deliver(const SessionEvent& event) {
  if (const auto* const changed = std::get_if<StateChanged>(&event)) {
    world_.note(name() + ": " + std::string(to_string(changed->state)) +
                (changed->position ? " " + to_string(*changed->position) : "") + " " +
                changed->why);
  }
  const auto* const done = std::get_if<WriteDone>(&event);
  if (done == nullptr) return;
  const auto call = calls_.find(done->call);
  CSA_CHECK(call != calls_.end());  // each call is answered once
  const auto answer = std::move(call->second);
  calls_.erase(call);
  answer(*done);
}

void SimNode::schedule_deadline() {
  const TimePoint due = session_->deadline();
  if (deadline_scheduled_ > world_.now() && deadline_scheduled_ <= due) return;
  deadline_scheduled_ = std::max(due, world_.now() + microseconds{1});
  const TimePoint at = deadline_scheduled_;
  world_.after(at - world_.now(), [this, life = life_, at] {
    if (!running() || asleep_ || life != life_ || deadline_scheduled_ != at) return;
    deadline_scheduled_ = TimePoint{};
    if (world_.now() >= session_->deadline()) session().on_deadline(world_.now());
    pump();
  });
}

}  // namespace csa::sim
