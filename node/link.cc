#include "node/link.h"

#include <algorithm>
#include <future>

#include "common/limits.h"
#include "common/planted.h"
#include "common/system_clock.h"
#include "node/results.h"
#include "node/store_jobs.h"

namespace csa {
namespace {

constexpr std::size_t kJobsMax = 4;

}  // namespace

Link::Link(LinkConfig config, std::unique_ptr<Replica> replica, const Log& log)
    : config_(std::move(config)),
      log_(log),
      replica_(std::move(replica)),
      tasks_(limits::kNodeTasksMax),
      jobs_(kJobsMax),
      checks_(kJobsMax),
      session_(config_.session, replica_->state(), log_) {
  store_thread_ = std::thread([this] { run_store(); });
  check_thread_ = std::thread([this] { run_checks(); });
  link_thread_ = std::thread([this] { run_link(); });
}

Link::~Link() { leave(); }

void Link::submit(Request request, std::chrono::milliseconds timeout, Done done) {
  const TimePoint deadline = monotonic_now() + timeout;
  auto shared = std::make_shared<Done>(std::move(done));
  const bool taken = tasks_.push([this, request = std::move(request), deadline, shared]() mutable {
    start_write(std::move(request), deadline, {std::move(*shared), {}});
  });
  if (!taken) {
    (*shared)(failed_result(WriteResult::Status::kNoBroker,
                            "this client has left, or too many writes are waiting"));
  }
}

ClientStatus Link::status() {
  auto promise = std::make_shared<std::promise<ClientStatus>>();
  std::future<ClientStatus> answer = promise->get_future();
  if (!tasks_.push_beyond([this, promise] { promise->set_value(present_status()); })) {
    ClientStatus status;
    status.state = ClientState::kLeaving;
    status.app = config_.app;
    status.group = config_.group;
    status.replica = config_.replica_path;
    return status;
  }
  return answer.get();
}

bool Link::wait(Condition reached, Condition given_up, std::chrono::milliseconds timeout) {
  auto answer = std::make_shared<std::promise<bool>>();
  std::future<bool> decided = answer->get_future();
  StatusWaits::Wait wait{std::move(reached), std::move(given_up), monotonic_now() + timeout,
                         answer};
  const bool taken = tasks_.push_beyond([this, wait = std::move(wait)] {
    waits_.add(wait);
    check_waiting(monotonic_now());
  });
  return taken && decided.get();
}

void Link::leave() {
  tasks_.push_beyond([this] {
    if (leaving_) return;
    leaving_ = true;
    session_.leave("the application leaves", monotonic_now());
  });
  if (link_thread_.joinable() && link_thread_.get_id() != std::this_thread::get_id()) {
    link_thread_.join();
  }
  if (check_thread_.joinable()) check_thread_.join();
  if (store_thread_.joinable()) store_thread_.join();
}

void Link::run_link() {
  dialer_ = std::make_unique<Dialer>(config_.dialer, log_);
  if (!config_.door.empty()) {
    door_ = std::make_unique<DoorServer>(dialer_->context(), config_.door, log_);
  }
  session_.set_local_time(local_now(boot_));
  session_.start(monotonic_now());
  while (!stopped_) turn();
  finish();
}

void Link::turn() {
  carry_out();
  const TimePoint now = monotonic_now();
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(session_.deadline() - now);
  std::vector<int> wake{tasks_.wake_fd()};
  if (door_) wake.push_back(door_->fd());
  Received received = dialer_->poll(std::clamp(left, {}, limits::kPollMax), wake);
  const TimePoint later = monotonic_now();
  session_.set_local_time(local_now(boot_));
  for (Message& message : received.messages) session_.on_message(std::move(message), later);
  for (const HeardBeacon& heard : received.beacons) session_.on_beacon(heard, later);
  if (received.disconnected) session_.on_disconnected(*received.disconnected, later);
  run_tasks();
  if (door_) serve_door(later);
  if (later >= session_.deadline()) session_.on_deadline(later);
  check_waiting(later);
}

void Link::serve_door(TimePoint now) {
  DoorServer::Received received = door_->receive();
  for (DoorServer::Call& call : received.calls) {
    Call own;
    own.done = [this, guest = call.guest, ticket = call.ticket](WriteResult result) {
      // Without an outcome at this program's end, the guest goes on with the next owner.
      const bool over = result.status == WriteResult::Status::kCommitted ||
                        (result.status == WriteResult::Status::kRejected && result.code != "busy");
      crash_point("door: before an answer");
      if (over || !ending_) door_->answer(guest, ticket, std::move(result));
    };
    own.on_tx = [this, guest = call.guest, ticket = call.ticket](const TxId& tx) {
      door_->give_tx(guest, ticket, tx);
    };
    start_write(std::move(call.request), now + call.timeout, std::move(own));
  }
  for (const TxId& tx : received.known) session_.release(tx, now);
  if (!leaving_) door_->tell_new_guests(present_status());
}

void Link::run_tasks() {
  for (std::size_t i = 0; i < limits::kDrainMax; ++i) {
    std::optional<Task> task = tasks_.pop();
    if (!task) return;
    (*task)();
  }
}

// Carries out what the session wants, in its order.
void Link::carry_out() {
  crash_point("link: before it sends");
  dialer_->carry_out(session_.take_actions());
  if (std::optional<StoreJob> job = session_.take_job()) {
    // One job that is answered is out at a time, beside any number of the others.
    const bool taken =
        has_no_answer(*job) ? jobs_.push(std::move(*job)) : jobs_.push_beyond(std::move(*job));
    if (!taken) log_.debug("link: the store takes no job");
  }
  for (CheckJob& job : session_.take_checks()) {
    if (!checks_.push(std::move(job))) log_.debug("link: too many checks at once");
  }
  const std::vector<SessionEvent> events = session_.take_events();
  for (const SessionEvent& event : events) {
    if (std::holds_alternative<Stopped>(event)) ending_ = true;
  }
  for (const SessionEvent& event : events) deliver(event);
}

void Link::deliver(const SessionEvent& event) {
  if (const auto* const done = std::get_if<WriteDone>(&event)) {
    const auto call = calls_.find(done->call);
    if (call == calls_.end()) return;
    const Done answer = std::move(call->second.done);
    calls_.erase(call);
    answer(to_result(*done));
    return;
  }
  if (const auto* const given = std::get_if<TxGiven>(&event)) {
    const auto call = calls_.find(given->call);
    if (call != calls_.end() && call->second.on_tx) call->second.on_tx(given->tx);
    return;
  }
  if (const auto* const changed = std::get_if<StateChanged>(&event)) why_ = changed->why;
  if (const std::optional<ClientEvent> out = to_event(event)) {
    if (config_.on_event) config_.on_event(*out);
    // How this program's client ends is not its guests' business: they go on.
    const bool end =
        out->kind == ClientEvent::Kind::kStopped ||
        (out->kind == ClientEvent::Kind::kState && out->state == ClientState::kLeaving);
    if (door_ && !end) door_->tell(*out, present_status());
  }
  if (std::holds_alternative<Stopped>(event)) stopped_ = true;
}

void Link::start_write(Request request, TimePoint deadline, Call call) {
  const std::uint64_t number = next_call_++;
  const bool tell_tx = bool(call.on_tx);
  calls_.emplace(number, std::move(call));
  session_.write({number, std::move(request), deadline, tell_tx}, monotonic_now());
}

void Link::check_waiting(TimePoint now) {
  if (!waits_.empty()) waits_.check(present_status(), now, stopped_);
}

void Link::finish() {
  tasks_.close();
  while (std::optional<Task> task = tasks_.pop()) (*task)();
  carry_out();
  check_waiting(monotonic_now());
  ending_ = true;
  for (auto& [number, call] : calls_) {
    call.done(
        failed_result(WriteResult::Status::kUnknown, "the client left before the answer came"));
  }
  calls_.clear();
  checks_.close();
  jobs_.close();
  if (door_) door_->close();
  door_.reset();
  dialer_.reset();
}

ClientStatus Link::present_status() const {
  const Session::View view = session_.view();
  ClientStatus status;
  status.state = to_client(view.state);
  status.app = config_.app;
  status.group = config_.group;
  status.node = to_string(view.node);
  status.hostname = config_.hostname;
  if (view.position) {
    status.epoch = to_string(view.position->epoch);
    status.seq = view.position->seq.value;
  }
  if (view.broker) {
    status.broker_address = to_string(*view.broker);
    status.broker_hostname = view.broker_hostname;
    status.broker_head = view.head.value;
  }
  status.replica = config_.replica_path;
  status.schema_version = view.schema_version;
  status.pending = view.pending;
  status.text = why_;
  status.stalled = view.stalled;
  return status;
}

}  // namespace csa
