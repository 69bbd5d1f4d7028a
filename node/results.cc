#include "node/results.h"

#include "common/check.h"

namespace csa {

std::string_view to_string(ClientState state) {
  switch (state) {
    case ClientState::kSearching:
      return "searching";
    case ClientState::kGreeting:
      return "greeting";
    case ClientState::kReplaying:
      return "replaying";
    case ClientState::kCatchingUp:
      return "catching-up";
    case ClientState::kLive:
      return "live";
    case ClientState::kStandalone:
      return "standalone";
    case ClientState::kRefused:
      return "refused";
    case ClientState::kLeaving:
      return "leaving";
  }
  return "?";
}

ClientState to_client(NodeState state) {
  switch (state) {
    case NodeState::kSearching:
      return ClientState::kSearching;
    case NodeState::kGreeting:
      return ClientState::kGreeting;
    case NodeState::kReplaying:
      return ClientState::kReplaying;
    case NodeState::kCatchingUp:
      return ClientState::kCatchingUp;
    case NodeState::kLive:
      return ClientState::kLive;
    case NodeState::kStandalone:
      return ClientState::kStandalone;
    case NodeState::kRefused:
      return ClientState::kRefused;
    case NodeState::kLeaving:
      return ClientState::kLeaving;
  }
  CSA_CHECK(false);
}

std::vector<ChangedKey> to_client(const std::vector<KeyChange>& keys) {
  std::vector<ChangedKey> out;
  out.reserve(keys.size());
  for (const KeyChange& key : keys) out.push_back({key.table, key.before, key.after});
  return out;
}

WriteResult to_result(const Ack& ack, bool visible) {
  WriteResult result;
  result.status = WriteResult::Status::kCommitted;
  result.tx = to_string(ack.tx);
  result.seq = ack.seq.value;
  result.changes = ack.changes;
  result.last_insert_rowid = ack.last_insert_rowid;
  result.visible = visible;
  result.schema_version = ack.schema_version;
  result.columns = ack.columns;
  result.rows = ack.rows;
  return result;
}

WriteResult to_result(const Nack& nack) {
  WriteResult result;
  // The master never heard of it: that is not a rejection.
  result.status = nack.code == NackCode::kUnknown ? WriteResult::Status::kUnknown
                                                  : WriteResult::Status::kRejected;
  result.tx = to_string(nack.tx);
  result.code = to_string(nack.code);
  result.message = nack.message;
  result.statement = nack.statement;
  return result;
}

WriteResult failed_result(WriteResult::Status status, std::string message) {
  WriteResult result;
  result.status = status;
  result.message = std::move(message);
  return result;
}

WriteResult to_result(const WriteDone& done) {
  switch (done.status) {
    case WriteStatus::kCommitted:
      return to_result(done.ack, done.visible);
    case WriteStatus::kJournaled: {
      WriteResult result;
      result.status = WriteResult::Status::kJournaled;
      result.tx = to_string(done.tx);
      result.changes = done.journaled.changes;
      result.last_insert_rowid = done.journaled.last_insert_rowid;
      result.columns = done.journaled.columns;
      result.rows = done.journaled.rows;
      result.pending = done.pending;
      return result;
    }
    case WriteStatus::kRejected:
      return to_result(done.nack);
    case WriteStatus::kNoBroker:
      return failed_result(WriteResult::Status::kNoBroker, done.message);
    case WriteStatus::kUnknown: {
      WriteResult result = failed_result(WriteResult::Status::kUnknown, done.message);
      result.tx = to_string(done.tx);
      return result;
    }
  }
  CSA_CHECK(false);
}

std::optional<ClientEvent> to_event(const SessionEvent& event) {
  ClientEvent out;
  if (const auto* const changed = std::get_if<StateChanged>(&event)) {
    out.kind = ClientEvent::Kind::kState;
    out.state = to_client(changed->state);
    if (changed->position) out.position = to_string(*changed->position);
    if (changed->broker) out.broker = to_string(*changed->broker);
    out.text = changed->why;
    out.pending = changed->pending;
    return out;
  }
  if (const auto* const replay = std::get_if<ReplayProgress>(&event)) {
    out.kind = ClientEvent::Kind::kReplay;
    out.pending = replay->waiting;
    out.total = replay->total;
    return out;
  }
  if (const auto* const kept = std::get_if<KeptAside>(&event)) {
    out.kind = ClientEvent::Kind::kKept;
    out.path = kept->path;
    out.text = kept->why;
    return out;
  }
  if (const auto* const told = std::get_if<OutcomeTold>(&event)) {
    out.kind = ClientEvent::Kind::kOutcome;
    out.tx = to_string(told->outcome.tx);
    out.outcome = to_string(told->outcome.result);
    out.text = told->outcome.text;
    out.keys = to_client(told->outcome.keys);
    return out;
  }
  if (const auto* const progress = std::get_if<CopyProgress>(&event)) {
    out.kind = ClientEvent::Kind::kProgress;
    out.bytes = progress->bytes;
    out.total = progress->total;
    return out;
  }
  if (const auto* const tables = std::get_if<TablesChanged>(&event)) {
    out.kind = ClientEvent::Kind::kChanged;
    out.tables = tables->tables;
    out.position = to_string(tables->position);
    return out;
  }
  if (const auto* const stopped = std::get_if<Stopped>(&event); stopped != nullptr) {
    if (stopped->exit_code == 0) return std::nullopt;
    out.kind = ClientEvent::Kind::kStopped;
    out.exit_code = stopped->exit_code;
    out.text = stopped->why;
    return out;
  }
  return std::nullopt;
}

}  // namespace csa
