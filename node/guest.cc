#include "node/guest.h"

#include <poll.h>

#include <algorithm>
#include <future>

#include "common/blocked_signals.h"
#include "common/limits.h"
#include "common/schema.h"
#include "common/sqlite.h"
#include "common/system_clock.h"
#include "node/results.h"

namespace csa {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kAnswerGrace{2000};  // beyond the owner's own deadline
constexpr milliseconds kSeekEach{20};
constexpr const char* kOwnerGone = "the program that owned the replica has ended";

// nullptr: a question.
TxId* tx_of(Backend::Request& request) {
  if (auto* const write = std::get_if<Write>(&request)) return &write->tx;
  if (auto* const migrate = std::get_if<Migrate>(&request)) return &migrate->tx;
  if (auto* const rules = std::get_if<Rules>(&request)) return &rules->tx;
  return nullptr;
}

milliseconds left_of(TimePoint deadline) {
  return std::max(milliseconds{0},
                  std::chrono::duration_cast<milliseconds>(deadline - monotonic_now()));
}

std::string position_of(const ClientStatus& status) {
  return status.epoch.empty() ? "" : status.epoch + ":" + std::to_string(status.seq);
}

ClientEvent state_event(const ClientStatus& status) {
  ClientEvent event;
  event.state = status.state;
  event.position = position_of(status);
  event.broker = status.broker_address;
  event.text = status.text;
  return event;
}

// A write that may have run is never told as one that was not sent.
WriteResult told(WriteResult result, const TxId& tx) {
  if (result.status == WriteResult::Status::kNoBroker)
    result.status = WriteResult::Status::kUnknown;
  if (result.tx.empty()) result.tx = to_string(tx);
  return result;
}

}  // namespace

Guest::Guest(Joining joining, std::unique_ptr<DoorClient> door, const Log& log)
    : joining_(std::move(joining)),
      log_(log),
      tasks_(limits::kNodeTasksMax),
      door_(std::move(door)),
      status_(door_->first_status()) {
  const BlockedSignals blocked;
  thread_ = std::thread([this] { run(); });
}

Guest::~Guest() { leave(); }

void Guest::submit(Request request, milliseconds timeout, Done done) {
  const TimePoint deadline = monotonic_now() + timeout;
  auto shared = std::make_shared<Done>(std::move(done));  // for the task and for the refusal
  const bool taken = tasks_.push([this, request = std::move(request), deadline, shared]() mutable {
    start(std::move(request), deadline, std::move(*shared));
  });
  if (!taken) {
    (*shared)(failed_result(WriteResult::Status::kNoBroker,
                            "this client has left, or too many writes are waiting"));
  }
}

ClientStatus Guest::status() {
  auto promise = std::make_shared<std::promise<ClientStatus>>();
  std::future<ClientStatus> answer = promise->get_future();
  const bool taken = tasks_.push_beyond(
      [this, promise] { promise->set_value(owner_ ? owner_->status() : status_); });
  if (taken) return answer.get();
  ClientStatus status;
  status.state = ClientState::kLeaving;
  status.app = joining_.options().app;
  status.group = joining_.options().group;
  return status;
}

bool Guest::wait(Condition reached, Condition given_up, milliseconds timeout) {
  auto answer = std::make_shared<std::promise<bool>>();
  std::future<bool> decided = answer->get_future();
  StatusWaits::Wait wait{std::move(reached), std::move(given_up), monotonic_now() + timeout,
                         answer};
  const bool taken = tasks_.push_beyond([this, wait = std::move(wait)] { waits_.add(wait); });
  return taken && decided.get();
}

void Guest::leave() {
  tasks_.push_beyond([this] { stopped_ = true; });
  if (thread_.joinable() && thread_.get_id() != std::this_thread::get_id()) thread_.join();
}

void Guest::run() {
  // The state that this guest comes into is an event for it like any later one.
  seen_ = position_of(status_);
  was_live_ = status_.state == ClientState::kLive;
  tell(state_event(status_));
  while (!stopped_) turn();
  finish();
}

void Guest::turn() {
  if (door_) {
    door_->wait(limits::kPollMax, tasks_.wake_fd());
    door_->receive([this](DoorMessage message) { take(std::move(message)); });
  } else {
    pollfd item{tasks_.wake_fd(), POLLIN, 0};
    ::poll(&item, 1, static_cast<int>((owner_ ? limits::kPollMax : kSeekEach).count()));
  }
  for (std::size_t i = 0; i < limits::kDrainMax; ++i) {
    std::optional<Task> task = tasks_.pop();
    if (!task) break;
    (*task)();
  }
  if (stopped_) return;
  if (door_ && door_->gone()) lose_owner();
  const TimePoint now = monotonic_now();
  if (!door_ && !owner_ && now >= seek_at_) seek(now);
  fly();
  check(now);
}

void Guest::start(Request request, TimePoint deadline, Done done) {
  Call call{std::move(request), deadline, std::move(done)};
  if (owner_) return hand_on(std::move(call));
  if (calls_.size() >= limits::kNodeWritesMax) {
    call.done(failed_result(WriteResult::Status::kNoBroker, "too many writes are waiting"));
    return;
  }
  const std::uint64_t ticket = next_ticket_++;
  calls_.emplace(ticket, std::move(call));
  grounded_.insert(ticket);
  fly();
}

// Gives the owner what it does not have yet.
void Guest::fly() {
  while (door_ && !grounded_.empty()) {
    const std::uint64_t ticket = *grounded_.begin();
    Call& call = calls_.at(ticket);
    const DoorCall frame{ticket, left_of(call.deadline).count(), call.may_have_run, call.request};
    if (!door_->send(frame)) return;
    call.flying = true;
    grounded_.erase(grounded_.begin());
  }
}

void Guest::take(DoorMessage message) {
  if (auto* const done = std::get_if<DoorDone>(&message)) {
    take_done(std::move(*done));
  } else if (const auto* const given = std::get_if<DoorTx>(&message)) {
    take_tx(*given);
  } else if (auto* const status = std::get_if<DoorStatus>(&message)) {
    // That the owner leaves is not this client's state: the end of the door follows.
    if (status->status.state != ClientState::kLeaving) status_ = std::move(status->status);
  } else if (const auto* const event = std::get_if<DoorEvent>(&message)) {
    take_event(event->event);
  }
}

void Guest::take_event(const ClientEvent& event) {
  if (!event.position.empty()) seen_ = event.position;
  tell(event);
  if (event.kind != ClientEvent::Kind::kState) return;
  if (event.state == ClientState::kLive) {
    was_live_ = true;
  } else if (was_live_ && joining_.options().stop_on_disconnect &&
             (event.state == ClientState::kSearching || event.state == ClientState::kStandalone)) {
    stop(8, "the link to the broker was lost: " + event.text);
  }
}

void Guest::take_tx(const DoorTx& given) {
  const auto found = calls_.find(given.ticket);
  if (found == calls_.end()) return;
  TxId* const tx = tx_of(found->second.request);
  if (tx == nullptr) return;
  // Noted first: from the moment of this frame the write may run.
  *tx = given.tx;
  found->second.may_have_run = door_->send(DoorGo{given.tx});
  if (found->second.may_have_run) log_.debug("guest: a write goes as " + to_string(given.tx));
}

void Guest::take_done(DoorDone done) {
  const auto found = calls_.find(done.ticket);
  if (found == calls_.end()) return;
  Call call = std::move(found->second);
  calls_.erase(found);
  // Only of a write that a former owner had, the present one cannot say that it was not sent.
  const TxId* const tx = tx_of(call.request);
  const bool doubt = call.may_have_run && tx != nullptr &&
                     (call.moved || done.result.status == WriteResult::Status::kUnknown);
  call.done(doubt ? told(std::move(done.result), *tx) : std::move(done.result));
}

void Guest::lose_owner() {
  log_.info(std::string("guest: ") + kOwnerGone);
  door_.reset();
  for (auto& [ticket, call] : calls_) {
    call.flying = false;
    call.moved = call.may_have_run;
    grounded_.insert(ticket);
  }
  status_.state = ClientState::kSearching;
  status_.broker_address.clear();
  status_.broker_hostname.clear();
  status_.text = kOwnerGone;
  tell(state_event(status_));
  seek_at_ = monotonic_now();
}

// Once: becomes the owner, or goes through the next owner's door.
void Guest::seek(TimePoint now) {
  seek_at_ = now + kSeekEach;
  Joining::Hooks hooks;
  hooks.on_event = [this](const ClientEvent& event) {
    tell(event);
    tasks_.push([] {});  // those who wait for a state look again
  };
  hooks.before_start = [this](const ReplicaState& replica) {
    see(replica.position ? to_string(*replica.position) : std::string());
  };
  try {
    Joined joined = joining_.attempt(hooks);
    if (joined.failure.exit_code != 0) return stop(joined.failure.exit_code, joined.failure.text);
    if (joined.door) come_in(std::move(joined.door));
    if (joined.owner) become_owner(std::move(joined.owner));
  } catch (const std::exception& error) {
    stop(1, std::string("cannot open the replica: ") + error.what());
  }
}

void Guest::come_in(std::unique_ptr<DoorClient> door) {
  door_ = std::move(door);
  status_ = door_->first_status();
  was_live_ = status_.state == ClientState::kLive;
  log_.info("guest: works through the next owner of the replica");
  see(position_of(status_));
  tell(state_event(status_));
}

void Guest::become_owner(std::unique_ptr<Backend> owner) {
  owner_ = std::move(owner);
  through_owner_ = false;
  log_.info("guest: owns the replica now");
  grounded_.clear();
  for (auto& [ticket, call] : std::exchange(calls_, {})) hand_on(std::move(call));
}

void Guest::hand_on(Call call) {
  TxId* const tx = tx_of(call.request);
  if (tx != nullptr && !call.may_have_run) *tx = {};
  Done done = std::move(call.done);
  if (tx != nullptr && call.may_have_run) {
    done = [given = *tx, done = std::move(done)](WriteResult result) {
      const bool doubt = result.status == WriteResult::Status::kNoBroker ||
                         result.status == WriteResult::Status::kUnknown;
      done(doubt ? told(std::move(result), given) : std::move(result));
    };
  }
  owner_->submit(std::move(call.request), left_of(call.deadline), std::move(done));
}

// What changed while nobody told this client is told as a change of every table.
void Guest::see(const std::string& position) {
  if (position == seen_ || position.empty()) return;
  seen_ = position;
  ClientEvent event;
  event.kind = ClientEvent::Kind::kChanged;
  event.position = position;
  event.tables = shared_tables(Database(joining_.options().replica, Database::Mode::kReadOnly));
  tell(event);
}

void Guest::check(TimePoint now) {
  if (!waits_.empty()) {
    const ClientStatus status = owner_ ? owner_->status() : status_;
    waits_.check(status, now, stopped_ || status.state == ClientState::kLeaving);
  }
  for (auto call = calls_.begin(); call != calls_.end();) {
    const auto at = call++;
    const TimePoint last =
        at->second.deadline + (at->second.flying ? kAnswerGrace : milliseconds{});
    if (now >= last) {
      end(at, door_ ? "the program that owns the replica does not answer" : kOwnerGone);
    }
  }
}

// Without an outcome. Without a TxId told, no owner has sent it.
void Guest::end(Calls::iterator at, const std::string& why) {
  const std::uint64_t ticket = at->first;
  Call call = std::move(at->second);
  calls_.erase(at);
  grounded_.erase(ticket);
  const TxId* const tx = tx_of(call.request);
  if (tx == nullptr) return call.done(failed_result(WriteResult::Status::kUnknown, why));
  WriteResult result = failed_result(WriteResult::Status::kNoBroker, why);
  call.done(call.may_have_run ? told(std::move(result), *tx) : std::move(result));
}

void Guest::stop(int exit_code, std::string why) {
  ClientEvent event;
  event.kind = ClientEvent::Kind::kStopped;
  event.exit_code = exit_code;
  event.text = std::move(why);
  stopped_ = true;
  tell(event);
}

void Guest::tell(const ClientEvent& event) const {
  if (joining_.options().on_event) joining_.options().on_event(event);
}

void Guest::finish() {
  tasks_.close();
  while (std::optional<Task> task = tasks_.pop()) (*task)();
  if (owner_) owner_->leave();
  while (!calls_.empty()) end(calls_.begin(), "this client has left");
  check(monotonic_now());
  door_.reset();
}

}  // namespace csa
