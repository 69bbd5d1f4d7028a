#include "node/guest.h"

#include <future>

#include "common/limits.h"
#include "common/system_clock.h"
#include "node/results.h"

namespace csa {
namespace {

constexpr std::chrono::milliseconds kAnswerGrace{2000};  // beyond the owner's own deadline
constexpr const char* kMonitor = "inproc://guest-monitor";

// The codec wants a TxId that can be; the owner gives the real one.
Backend::Request with_placeholder(Backend::Request request) {
  const TxId placeholder{NodeId{Id128{{1}}}, 1};
  if (auto* const write = std::get_if<Write>(&request)) write->tx = placeholder;
  if (auto* const migrate = std::get_if<Migrate>(&request)) migrate->tx = placeholder;
  return request;
}

}  // namespace

Guest::Guest(Config config, const Log& log)
    : config_(std::move(config)),
      log_(log),
      tasks_(limits::kNodeWritesMax),
      dealer_(context_, zmq::socket_type::dealer),
      monitor_(context_, zmq::socket_type::pair) {
  dealer_.set(zmq::sockopt::linger, 500);
  dealer_.set(zmq::sockopt::immediate, true);
  dealer_.set(zmq::sockopt::reconnect_ivl, -1);  // an owner that went away is another one later
  dealer_.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(2 * limits::kFrameMax));
  if (zmq_socket_monitor(dealer_.handle(), kMonitor, ZMQ_EVENT_DISCONNECTED) == 0) {
    monitor_.connect(kMonitor);
  }
  dealer_.connect("ipc://" + config_.door);
}

std::unique_ptr<Guest> Guest::enter(Config config, std::chrono::milliseconds timeout,
                                    const Log& log) {
  std::unique_ptr<Guest> guest;
  try {
    guest.reset(new Guest(std::move(config), log));
    const TimePoint deadline = monotonic_now() + timeout;
    const Bytes hello = encode_door(DoorHello{});
    bool sent = false;
    while (!guest->entered_ && !guest->owner_gone_) {
      // IMMEDIATE: refused until the connection stands.
      if (!sent) sent = bool(guest->dealer_.send(zmq::buffer(hello), zmq::send_flags::dontwait));
      zmq::pollitem_t item{guest->dealer_.handle(), 0, ZMQ_POLLIN, 0};
      zmq::poll(&item, 1, sent ? limits::kPollMax : std::chrono::milliseconds{5});
      guest->receive();
      if (monotonic_now() >= deadline) return nullptr;
    }
    if (!guest->entered_) return nullptr;
    guest->thread_ = std::thread([raw = guest.get()] { raw->run(); });
  } catch (const zmq::error_t& error) {
    log.warn(std::string("door: ") + error.what());
    return nullptr;
  }
  return guest;
}

Guest::~Guest() { leave(); }

void Guest::submit(Request request, std::chrono::milliseconds timeout, Done done) {
  auto shared = std::make_shared<Done>(std::move(done));
  const bool taken = tasks_.push([this, timeout, shared, request = std::move(request)] {
    const std::uint64_t ticket = next_ticket_++;
    const Bytes frame = encode_door(DoorCall{ticket, timeout.count(), with_placeholder(request)});
    if (owner_gone_ || !dealer_.send(zmq::buffer(frame), zmq::send_flags::dontwait)) {
      (*shared)(failed_result(WriteResult::Status::kNoBroker,
                              "the program that owns the replica has ended; try again"));
      return;
    }
    calls_.emplace(ticket, Pending{*shared, monotonic_now() + timeout + kAnswerGrace});
  });
  if (!taken) {
    (*shared)(failed_result(WriteResult::Status::kNoBroker,
                            "this client has left, or too many writes are waiting"));
  }
}

ClientStatus Guest::status() {
  auto promise = std::make_shared<std::promise<ClientStatus>>();
  std::future<ClientStatus> answer = promise->get_future();
  if (!tasks_.push([this, promise] { promise->set_value(status_); })) {
    ClientStatus status;
    status.state = ClientState::kLeaving;
    return status;
  }
  return answer.get();
}

bool Guest::wait(Condition reached, Condition given_up, std::chrono::milliseconds timeout) {
  auto answer = std::make_shared<std::promise<bool>>();
  std::future<bool> decided = answer->get_future();
  StatusWaits::Wait wait{std::move(reached), std::move(given_up), monotonic_now() + timeout,
                         answer};
  const bool taken = tasks_.push([this, wait = std::move(wait)] { waits_.add(wait); });
  return taken && decided.get();
}

void Guest::leave() {
  tasks_.push([this] { stopped_ = true; });
  if (thread_.joinable() && thread_.get_id() != std::this_thread::get_id()) thread_.join();
}

void Guest::run() {
  // The state that this guest comes into is an event for it like any later one.
  ClientEvent now;
  now.state = status_.state;
  if (!status_.epoch.empty()) now.position = status_.epoch + ":" + std::to_string(status_.seq);
  now.broker = status_.broker_address;
  if (config_.on_event) config_.on_event(now);
  while (!stopped_) turn();
  finish();
  if (owner_gone_ && config_.on_owner_gone) config_.on_owner_gone();
}

void Guest::turn() {
  std::vector<zmq::pollitem_t> items{{dealer_.handle(), 0, ZMQ_POLLIN, 0},
                                     {monitor_.handle(), 0, ZMQ_POLLIN, 0},
                                     {nullptr, tasks_.wake_fd(), ZMQ_POLLIN, 0}};
  zmq::poll(items.data(), items.size(), limits::kPollMax);
  receive();
  for (std::size_t i = 0; i < limits::kDrainMax; ++i) {
    std::optional<Task> task = tasks_.pop();
    if (!task) break;
    (*task)();
  }
  check(monotonic_now());
  if (owner_gone_) stopped_ = true;
}

void Guest::receive() {
  zmq::message_t frame;
  for (std::size_t i = 0; i < limits::kDrainMax; ++i) {
    if (!dealer_.recv(frame, zmq::recv_flags::dontwait)) break;
    auto message = decode_door({frame.data<std::uint8_t>(), frame.size()});
    if (message) take(std::move(*message));
  }
  zmq::message_t event;
  while (monitor_.recv(event, zmq::recv_flags::dontwait)) owner_gone_ = true;
}

void Guest::take(DoorMessage message) {
  if (auto* const done = std::get_if<DoorDone>(&message)) {
    const auto call = calls_.find(done->ticket);
    if (call == calls_.end()) return;
    const Done answer = std::move(call->second.done);
    calls_.erase(call);
    answer(std::move(done->result));
  } else if (auto* const status = std::get_if<DoorStatus>(&message)) {
    status_ = std::move(status->status);
    entered_ = true;
  } else if (const auto* const event = std::get_if<DoorEvent>(&message)) {
    if (config_.on_event) config_.on_event(event->event);
  } else if (std::holds_alternative<DoorClosed>(message)) {
    owner_gone_ = true;
  }
}

void Guest::check(TimePoint now) {
  waits_.check(status_, now, stopped_ || owner_gone_);
  for (auto call = calls_.begin(); call != calls_.end();) {
    if (now < call->second.deadline) {
      ++call;
      continue;
    }
    call->second.done(failed_result(WriteResult::Status::kUnknown,
                                    "the program that owns the replica does not answer"));
    call = calls_.erase(call);
  }
}

void Guest::finish() {
  tasks_.close();
  while (std::optional<Task> task = tasks_.pop()) (*task)();
  stopped_ = true;
  check(monotonic_now());
  for (auto& [ticket, call] : calls_) {
    call.done(failed_result(WriteResult::Status::kUnknown,
                            "the program that owns the replica ended before it answered"));
  }
  calls_.clear();
  zmq_socket_monitor(dealer_.handle(), nullptr, 0);
}

}  // namespace csa
