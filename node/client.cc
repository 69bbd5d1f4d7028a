#include "node/client.h"

#include <filesystem>
#include <future>
#include <mutex>

#include "common/exit_code.h"
#include "common/file_link.h"
#include "common/random.h"
#include "common/rules_text.h"
#include "common/system_clock.h"
#include "node/backend.h"
#include "node/guest.h"
#include "node/joining.h"
#include "node/known_outcome.h"
#include "node/owner_lock.h"
#include "node/read_only.h"
#include "node/results.h"

namespace csa {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kOwnerWait{60000};    // for a short-lived owner to finish its work
constexpr milliseconds kDoorPatience{5000};  // for an owner that says it has a door
constexpr milliseconds kTryEach{50};

Log log_of(const ClientOptions& options) {
  if (!options.on_log) return {};
  return Log(LogLevel::kDebug, [sink = options.on_log](LogLevel level, std::string_view line) {
    sink(static_cast<ClientLogLevel>(level), line);
  });
}

}  // namespace

class Client::Impl {
 public:
  explicit Impl(ClientOptions options) : options_(std::move(options)), log_(log_of(options_)) {}

  // Owner where the lock is free, else a guest of the owner.
  ClientFailure open();

  ClientOptions options_;
  Log log_;
  std::unique_ptr<Backend> backend_;
  Guest* guest_ = nullptr;  // backend_, where it began as one
  std::once_flag left_;     // the threads are joined by one caller
};

ClientFailure Client::Impl::open() {
  if (options_.replica.empty()) options_.replica = default_replica_path(options_.group);
  Result<std::string> file = follow_links(options_.replica);
  if (!file) return {exit_code(file.error().code), file.error().what};
  options_.replica = std::move(file).value();
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::path(options_.replica).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, error);
  if (error) {
    return {1, "cannot make the replica's folder " + folder.string() + ": " + error.message()};
  }
  const Joining joining(options_, log_);
  const TimePoint start = monotonic_now();
  std::optional<TimePoint> knocked;
  while (true) {
    Joined joined = joining.attempt({options_.on_event, {}});
    if (joined.failure.exit_code != 0) return joined.failure;
    if (joined.owner) {
      backend_ = std::move(joined.owner);
      return {0, ""};
    }
    if (joined.door) {
      auto guest = std::make_unique<Guest>(joining, std::move(joined.door), log_);
      guest_ = guest.get();
      backend_ = std::move(guest);
      return {0, ""};
    }
    const TimePoint now = monotonic_now();
    if (!knocked && joining.has_door()) knocked = now;
    const bool patient = knocked ? now - *knocked < kDoorPatience : now - start < kOwnerWait;
    if (!patient) return joining.not_let_in();
    // The owner is about to open its door or to end: look again soon.
    std::promise<void>().get_future().wait_for(kTryEach);
  }
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

OpenedClient Client::open(ClientOptions options) {
  OpenedClient opened;
  auto impl = std::make_unique<Impl>(std::move(options));
  try {
    opened.failure = impl->open();
  } catch (const std::exception& error) {
    opened.failure = {1, std::string("cannot open the replica: ") + error.what()};
  }
  // NOLINTNEXTLINE(cppcoreguidelines-owning-memory): make_unique reaches no private constructor
  if (impl->backend_) opened.client.reset(new Client(std::move(impl)));
  return opened;
}

Client::~Client() { leave(); }

bool Client::wait_until_readable(milliseconds timeout) {
  const auto readable = [](const ClientStatus& s) {
    return s.state == ClientState::kLive ||
           (!s.epoch.empty() &&
            (s.state == ClientState::kStandalone || s.state == ClientState::kRefused ||
             s.state == ClientState::kReplaying || s.stalled));
  };
  const auto hopeless = [](const ClientStatus& s) {
    return s.epoch.empty() &&
           (s.state == ClientState::kStandalone || s.state == ClientState::kRefused || s.stalled);
  };
  return impl_->backend_->wait(readable, hopeless, timeout);
}

bool Client::settle(milliseconds timeout) {
  return impl_->backend_->wait([](const ClientStatus& s) { return s.state == ClientState::kLive; },
                               [](const ClientStatus& s) {
                                 return s.stalled || s.state == ClientState::kStandalone ||
                                        s.state == ClientState::kRefused ||
                                        s.state == ClientState::kLeaving;
                               },
                               timeout);
}

bool Client::wait_for(ClientState state, milliseconds timeout) {
  return impl_->backend_->wait([state](const ClientStatus& s) { return s.state == state; }, nullptr,
                               timeout);
}

namespace {

// With its nonce, so that another program that takes over the replica sends it as this one did.
Write write_of(std::string_view sql, Row&& parameters, const WriteOptions& options) {
  Write write;
  write.sql = std::string(sql);
  write.parameters = std::move(parameters);
  write.expect = options.expect;
  while (write.nonce == 0) write.nonce = random_u64();
  return write;
}

WriteResult submit_and_wait(Backend& backend, Backend::Request request, milliseconds timeout) {
  auto promise = std::make_shared<std::promise<WriteResult>>();
  std::future<WriteResult> answer = promise->get_future();
  backend.submit(std::move(request), timeout,
                 [promise](WriteResult result) { promise->set_value(std::move(result)); });
  return answer.get();
}

}  // namespace

void Client::exec_async(std::string_view sql, Row parameters, WriteOptions options,
                        std::function<void(WriteResult)> done) {
  impl_->backend_->submit(write_of(sql, std::move(parameters), options), options.timeout,
                          std::move(done));
}

WriteResult Client::exec(std::string_view sql, Row parameters, WriteOptions options) {
  return submit_and_wait(*impl_->backend_, write_of(sql, std::move(parameters), options),
                         options.timeout);
}

WriteResult Client::migrate(std::string_view sql, std::optional<std::uint64_t> version,
                            WriteOptions options) {
  Migrate migrate;
  migrate.sql = std::string(sql);
  migrate.version = version;
  return submit_and_wait(*impl_->backend_, std::move(migrate), options.timeout);
}

WriteResult Client::set_rules(std::string_view rules, WriteOptions options) {
  const Result<std::vector<RuleLine>> lines = parse_rules(rules, "rules");
  if (!lines) {
    WriteResult result = failed_result(WriteResult::Status::kRejected, lines.error().what);
    result.code = "sql";
    return result;
  }
  Rules request;
  for (const RuleLine& line : *lines) request.rules.push_back(line.setting);
  return submit_and_wait(*impl_->backend_, std::move(request), options.timeout);
}

WriteResult Client::outcome(std::string_view tx, milliseconds timeout) {
  const std::optional<TxId> id = parse_tx_id(tx);
  if (!id) {
    WriteResult result = failed_result(WriteResult::Status::kRejected,
                                       "'" + std::string(tx) + "' is no TX: NODE:N is expected");
    result.code = "sql";
    return result;
  }
  // What was made offline only this replica knows.
  if (std::optional<WriteResult> known = known_outcome(impl_->options_.replica, *id)) {
    return std::move(*known);
  }
  return submit_and_wait(*impl_->backend_, OutcomeGet{*id}, timeout);
}

ClientStatus Client::status() {
  ClientStatus status = impl_->backend_->status();
  if (status.replica.empty()) status.replica = impl_->options_.replica;
  return status;
}

const std::string& Client::replica_path() const { return impl_->options_.replica; }

Reader Client::open_reader() const { return open_read_only(impl_->options_.replica); }

bool Client::works_through_owner() const {
  return impl_->guest_ != nullptr && impl_->guest_->through_owner();
}

void Client::leave() {
  std::call_once(impl_->left_, [this] { impl_->backend_->leave(); });
}

}  // namespace csa
