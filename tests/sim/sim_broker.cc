#include "tests/sim/sim_broker.h"

#include "common/codec.h"
#include "common/limits.h"
#include "common/sqlite.h"
#include "common/store_meta.h"
#include "tests/sim/checkers.h"
#include "tests/sim/sim_disk.h"

namespace csa::sim {
namespace {

// Admins (sim_admin.h) sit at the broker.
Origin origin_of(int party) { return {"10.0.0." + std::to_string(party + 1), party >= 100}; }

}  // namespace

Bytes as_it_arrives(World& world, int party, Bytes frame) {
  if (!world.chance(world.faults.damage)) return frame;
  frame[world.random(frame.size())] ^= static_cast<std::uint8_t>(1U << world.random(8));
  ++world.counts["damaged frame"];
  world.disturb(party);
  if (decode_joined(frame)) throw Violation("a frame with a wrong bit is taken for a sound one");
  return frame;
}

SimBroker::SimBroker(World& world, std::string database, std::string spool)
    : world_(world),
      clocks_(world, kBrokerParty),
      database_(std::move(database)),
      spool_(std::move(spool)) {
  log_ = Log(LogLevel::kInfo,
             [this](LogLevel, std::string_view line) { world_.note("B: " + std::string(line)); });
}

SimBroker::~SimBroker() = default;

void SimBroker::open_stores() {
  LedgerOptions options;
  options.spill_directory = spool_;
  options.max_changes = limits::kMaxChangesDefault;
  options.log_keep = log_keep;
  options.rows_max = limits::kRowsMax;
  options.statement_timeout = limits::kStatementTimeout;
  options.monotonic_now = [this] { return world_.now(); };
  options.local_now = [this] { return clocks_.read(); };
  options.random_id = [this] { return world_.random_id(); };
  Archive::clear_spool(spool_);
  ledger_ = std::make_unique<Ledger>(database_, options, log_);
  archive_ = std::make_unique<Archive>(database_, spool_, log_);
  verifier_ = std::make_unique<Verifier>(database_, log_);
}

void SimBroker::start() {
  if (on_disturbed) on_disturbed();
  ++boot_number_;
  boot_id_ = world_.random_id();
  std::map<NodeId, std::uint64_t> counters;
  std::uint64_t forgotten = 0;
  const bool opened = on_disk([&] {
    open_stores();
    const Database reader(database_, Database::Mode::kReadOnly);
    counters = last_counters(reader);
    forgotten = OutcomeTable(reader).forgotten_counter();
  });
  if (!opened) return;
  tell_found(ledger_->meta().position);
  HubConfig config;
  config.app = "csa";
  config.group = "sim";
  config.hostname = "broker";
  config.program = "csa-sim";
  config.database = database_;
  config.boot = boot_id_;
  config.pub_port = 5776;
  config.heartbeat = limits::kHeartbeat;
  config.node_timeout = limits::kNodeTimeout;
  config.statement_timeout = limits::kStatementTimeout;
  const Meta& meta = ledger_->meta();
  MasterState master;
  master.db = meta.db;
  master.head = meta.position;
  master.floor = meta.floor;
  master.schema_version = meta.schema_version;
  master.log_bytes = ledger_->log_bytes();
  master.counters = std::move(counters);
  master.forgotten_counter = forgotten;
  master.scale = ledger_->time().scale();
  hub_ = std::make_unique<Hub>(config, master, ledger_->time().at(clocks_.read()), log_);
  world_.note("B: starts at " + to_string(meta.position));
  deadline_scheduled_ = TimePoint{};
  pump();
}

void SimBroker::crash() {
  world_.note("B: crashes");
  if (on_disturbed) on_disturbed();
  ++world_.counts["broker crash"];
  SimDisk::present().die(kBrokerParty);
  drop();
  SimDisk::present().bury(kBrokerParty);
}

void SimBroker::drop() {
  hub_.reset();
  verifier_.reset();
  archive_.reset();
  ledger_.reset();
  connections_.clear();
  subscriptions_.clear();
}

void SimBroker::restart_later() {
  world_.after(milliseconds{500 + world_.random(3000)}, [this] {
    if (!running()) start();
  });
}

bool SimBroker::on_disk(const std::function<void()>& work) {
  std::string failure;
  SimDisk::present().begin(kBrokerParty);
  try {
    const SimDisk::Work working(kBrokerParty, crash_probability);
    work();
  } catch (const SimCrash&) {
  } catch (const std::exception& error) {
    failure = error.what();
  }
  SimDisk& disk = SimDisk::present();
  if (disk.dead(kBrokerParty)) {
    crash();
    restart_later();
    return false;
  }
  if (failure.empty()) return true;
  if (!disk.failed(kBrokerParty)) throw Violation("the broker ends: " + failure);
  world_.note("B: ends: " + failure);
  ++world_.counts["broker ended by its disk"];
  if (on_disturbed) on_disturbed();
  drop();
  restart_later();
  return false;
}

bool SimBroker::crash_point(const char* label) {
  if (!world_.chance(crash_probability)) return false;
  world_.note(std::string("B: crash point ") + label);
  ++world_.counts[std::string("broker crash ") + label];
  crash();
  return true;
}

void SimBroker::connect(const PeerKey& key, int party, std::function<void(Message)> deliver) {
  if (running()) connections_[key] = {party, std::move(deliver), true};
}

void SimBroker::subscribe(const PeerKey& key, int party, const std::vector<std::string>& topics,
                          std::function<void(Message)> deliver) {
  if (!running()) return;
  Subscription subscription{party, {topics.begin(), topics.end()}, std::move(deliver)};
  subscriptions_[key] = std::move(subscription);
  // libzmq sends subscriptions in byte order.
  for (const std::string& topic : std::set<std::string>(topics.begin(), topics.end())) {
    hub_->on_subscribed(topic, world_.now());
  }
  pump();
}

void SimBroker::disconnect(const PeerKey& key) {
  connections_.erase(key);
  subscriptions_.erase(key);
}

void SimBroker::receive(const PeerKey& key, const Bytes& frame) {
  const auto connection = connections_.find(key);
  if (!running() || connection == connections_.end()) return;
  hub_->set_time(ledger_->time().at(clocks_.read()));
  const Origin origin = origin_of(connection->second.party);
  Result<std::vector<Message>> messages = decode_joined(frame);
  if (messages) {
    for (Message& message : *messages) {
      hub_->on_message(key, std::move(message), origin, world_.now());
    }
  } else {
    hub_->on_malformed(key, messages.error(), origin, world_.now());
  }
  pump();
}

// Work of a store thread: happens after a while, unless the broker crashed meanwhile.
void SimBroker::later(const char* label, std::function<void()> work) {
  microseconds delay{200 + world_.random(3000)};
  if (slow_disk) delay += milliseconds{world_.random(3000)};
  world_.after(delay, [this, label, boot = boot_number_, work = std::move(work)] {
    if (!running() || boot != boot_number_ || crash_point(label)) return;
    work();
    if (running()) pump();
  });
}

void SimBroker::pump() {
  hub_->set_time(ledger_->time().at(clocks_.read()));
  std::vector<HubAction> actions = hub_->take_outbox();
  for (std::size_t i = 0; i < actions.size();) {
    const std::size_t sent = send(std::span<const HubAction>(actions).subspan(i));
    if (sent == 0) act(std::move(actions[i]));
    i += std::max<std::size_t>(sent, 1);
    if (!running()) return;
  }
  schedule_deadline();
}

// As Front does: what joins goes in one frame. How many of the first ones went; 0: none is sent.
std::size_t SimBroker::send(std::span<const HubAction> actions) {
  std::vector<const Message*> messages;
  const PeerKey* peer = nullptr;
  for (const HubAction& action : actions) {
    const auto* const to = std::get_if<SendTo>(&action);
    if (to == nullptr || (peer != nullptr && to->peer != *peer)) break;
    peer = &to->peer;
    messages.push_back(&to->message);
    if (!joins(to->message)) break;
  }
  if (peer == nullptr) return 0;
  JoinedFrame joined = encode_joined(messages);
  const auto found = connections_.find(*peer);
  if (found == connections_.end()) {
    hub_->on_unreachable(*peer, world_.now());
    return joined.count;
  }
  if (joined.count > 1) ++world_.counts["joined frame of the broker"];
  const int party = found->second.party;
  const Bytes frame = as_it_arrives(world_, party, std::move(joined.frame));
  world_.send(kBrokerParty, party, [frame, deliver = found->second.deliver] {
    Result<std::vector<Message>> all = decode_joined(frame);
    if (!all) return;
    for (Message& message : *all) deliver(std::move(message));
  });
  if (std::holds_alternative<Welcome>(*messages[0])) crash_point("after WELCOME");
  if (std::holds_alternative<Replayed>(*messages[0])) crash_point("after REPLAYED");
  return joined.count;
}

void SimBroker::run_commit(const CommitJob& job) {
  CommitResult result;
  for (const NodeId& node : job.forget) ledger_->forget(node);
  for (const auto& [node, counter] : job.confirm) ledger_->confirm(node, counter);
  if (!on_disk([&] { result = ledger_->commit(job.jobs); })) return;
  told_ = result.head;
  for (const WriteOutcome& outcome : result.outcomes) {
    const auto* const replayed = std::get_if<Replayed>(&outcome.answer);
    if (replayed == nullptr) continue;
    const bool early = replayed->result == ReplayResult::kAgain && !replayed->text.empty();
    ++world_.counts[early ? "offline change before an earlier one" : "offline change handed over"];
  }
  if (on_commit) on_commit(result);
  if (crash_point("between commit and answer")) return;
  hub_->on_committed(result, world_.now());
  if (!world_.chance(0.1)) return;
  if (!on_disk([&] { ledger_->housekeeping(); })) return;
  // The ledger thread's word is on its way while readers see the file as it is.
  later("after housekeeping", [this, state = StoreState{ledger_->meta().floor, ledger_->log_bytes(),
                                                        0}] { hub_->on_stored(state); });
}

bool SimBroker::compare(const HubAction& action) {
  if (const auto* const digest = std::get_if<DigestJob>(&action)) {
    later("before a digest", [this, j = *digest] {
      DigestReply reply;
      if (!on_disk([&] { reply = verifier_->digest(j.request, j.asked, world_.now()); })) return;
      hub_->on_digest(j.peer, std::move(reply), j.asked, world_.now());
    });
    return true;
  }
  if (const auto* const rows = std::get_if<RowsJob>(&action)) {
    later("before sums of rows", [this, j = *rows] {
      RowsReply reply;
      if (!on_disk([&] { reply = verifier_->rows(j.request); })) return;
      hub_->on_rows(j.peer, std::move(reply), world_.now());
    });
    return true;
  }
  return false;
}

void SimBroker::act(HubAction action) {
  if (compare(action)) return;
  if (auto* const publish = std::get_if<Publish>(&action)) {
    const std::string topic = topic_of(publish->message);
    const Bytes sent = encode(publish->message);
    for (const auto& [key, subscription] : subscriptions_) {
      const bool wanted =
          std::any_of(subscription.topics.begin(), subscription.topics.end(),
                      [&topic](const std::string& prefix) { return topic.rfind(prefix, 0) == 0; });
      if (!wanted) continue;
      if (std::holds_alternative<Update>(publish->message) &&
          world_.chance(world_.faults.drop_update)) {
        ++world_.counts["lost UPDATE"];
        continue;
      }
      const Bytes frame = as_it_arrives(world_, subscription.party, sent);
      world_.send(kBrokerParty, subscription.party, [frame, deliver = subscription.deliver] {
        if (Result<Message> message = decode(frame)) deliver(std::move(*message));
      });
    }
    crash_point("after publish");
  } else if (auto* const commit = std::get_if<CommitJob>(&action)) {
    later("before commit", [this, job = std::move(*commit)] { run_commit(job); });
  } else if (const auto* const confirm = std::get_if<ConfirmJob>(&action)) {
    for (const auto& [node, counter] : confirm->counters) ledger_->confirm(node, counter);
    if (!crash_point("after confirming")) hub_->on_confirmed();
  } else if (const auto* const retain = std::get_if<RetainJob>(&action)) {
    ledger_->retain(retain->from);
  } else if (const auto* const log = std::get_if<LogJob>(&action)) {
    later("before a piece of the log", [this, j = *log] {
      std::variant<LogSlice, LogGone> slice;
      if (!on_disk([&] { slice = archive_->read_log(j.request, j.through); })) return;
      hub_->on_log(j.peer, std::move(slice), world_.now());
    });
  } else if (const auto* const layout = std::get_if<LayoutJob>(&action)) {
    later("before a layout", [this, j = *layout] {
      LayoutReply reply;
      if (!on_disk([&] { reply = archive_->layout(j.schema_version); })) return;
      hub_->on_reply(j.peer, reply, world_.now());
    });
  } else if (const auto* const outcome = std::get_if<OutcomeJob>(&action)) {
    later("before an outcome", [this, j = *outcome] {
      std::variant<Ack, Nack> answer;
      if (!on_disk([&] { answer = archive_->outcome(j.tx); })) return;
      hub_->on_reply(j.peer, std::visit([](const auto& a) -> Message { return a; }, answer),
                     world_.now());
    });
  } else if (std::holds_alternative<CutJob>(action)) {
    later("before a cut", [this] {
      Result<SnapshotInfo> cut = SnapshotInfo{};
      if (!on_disk([&] { cut = archive_->cut(); })) return;
      if (!crash_point("after a cut")) hub_->on_cut(std::move(cut), world_.now());
    });
  } else if (const auto* const chunk = std::get_if<ChunkJob>(&action)) {
    later("before a chunk", [this, j = *chunk] {
      std::optional<Bytes> bytes;
      if (!on_disk([&] { bytes = archive_->read_chunk(j.snapshot, j.map, j.offset, j.length); }))
        return;
      SnapshotChunk answer;
      answer.snapshot = j.snapshot;
      answer.offset = j.offset;
      answer.map = j.map;
      if (bytes) answer.bytes = std::move(*bytes);
      hub_->on_chunk(j.peer, std::move(answer), bytes.has_value(), world_.now());
    });
  } else if (const auto* const drop = std::get_if<DropJob>(&action)) {
    archive_->drop(drop->snapshot);
  }
}

void SimBroker::schedule_deadline() {
  const TimePoint due = hub_->deadline();
  if (deadline_scheduled_ > world_.now() && deadline_scheduled_ <= due) return;
  deadline_scheduled_ = std::max(due, world_.now() + microseconds{1});
  const TimePoint at = deadline_scheduled_;
  world_.after(at - world_.now(), [this, boot = boot_number_, at] {
    if (!running() || boot != boot_number_ || deadline_scheduled_ != at) return;
    deadline_scheduled_ = TimePoint{};
    hub_->set_time(ledger_->time().at(clocks_.read()));
    if (world_.now() >= hub_->deadline()) hub_->on_deadline(world_.now());
    pump();
  });
}

}  // namespace csa::sim
