#include "node/door.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "common/codec.h"

namespace csa {
namespace {

using nlohmann::json;

constexpr std::uint8_t kDoorVersion = 4;
enum class Kind : std::uint8_t { kCall = 1, kHello, kDone, kStatus, kEvent, kClosed, kTx, kGo };

// The codec wants a TxId that can be, also where the owner is to give one.
void set_tx(Backend::Request& request, const TxId& tx) {
  if (auto* const write = std::get_if<Write>(&request)) write->tx = tx;
  if (auto* const migrate = std::get_if<Migrate>(&request)) migrate->tx = tx;
  if (auto* const rules = std::get_if<Rules>(&request)) rules->tx = tx;
}

json request_json(const DoorCall& call) {
  Backend::Request request = call.request;
  if (!call.sent_before) set_tx(request, {NodeId{Id128{{1}}}, 1});
  const Message message = std::visit([](const auto& r) -> Message { return r; }, request);
  return json::binary(encode(message));
}

TxId tx_of(const json& j) { return parse_tx_id(j.get<std::string>()).value_or(TxId{}); }

json keys_json(const std::vector<ChangedKey>& keys) {
  json list = json::array();
  for (const ChangedKey& key : keys) list.push_back({key.table, key.before, key.after});
  return list;
}

std::vector<ChangedKey> keys_of(const json& j) {
  std::vector<ChangedKey> keys;
  for (const json& key : j) {
    keys.push_back({key.at(0).get<std::string>(), key.at(1).get<std::int64_t>(),
                    key.at(2).get<std::int64_t>()});
  }
  return keys;
}

json result_json(const WriteResult& r) {
  json last = nullptr;
  if (r.last_insert_rowid) last = *r.last_insert_rowid;
  return {static_cast<int>(r.status),
          r.tx,
          r.seq,
          r.changes,
          last,
          r.visible,
          r.schema_version,
          json::binary(encode_rows({r.columns, r.rows})),
          r.code,
          r.message,
          r.statement,
          r.pending,
          r.outcome,
          keys_json(r.keys)};
}

WriteResult result_of(const json& j) {
  WriteResult r;
  r.status = static_cast<WriteResult::Status>(j.at(0).get<int>());
  r.tx = j.at(1).get<std::string>();
  r.seq = j.at(2).get<std::uint64_t>();
  r.changes = j.at(3).get<std::int64_t>();
  if (!j.at(4).is_null()) r.last_insert_rowid = j.at(4).get<std::int64_t>();
  r.visible = j.at(5).get<bool>();
  r.schema_version = j.at(6).get<std::uint64_t>();
  const Result<RowSet> rows = decode_rows(j.at(7).get_binary());
  if (rows) {
    r.columns = rows->columns;
    r.rows = rows->rows;
  }
  r.code = j.at(8).get<std::string>();
  r.message = j.at(9).get<std::string>();
  r.statement = j.at(10).get<std::uint32_t>();
  r.pending = j.at(11).get<std::uint64_t>();
  r.outcome = j.at(12).get<std::string>();
  r.keys = keys_of(j.at(13));
  return r;
}

json status_json(const ClientStatus& s) {
  return {static_cast<int>(s.state),
          s.app,
          s.group,
          s.node,
          s.hostname,
          s.epoch,
          s.seq,
          s.broker_address,
          s.broker_hostname,
          s.broker_head,
          s.pending,
          s.replica,
          s.schema_version,
          s.text,
          s.stalled};
}

ClientStatus status_of(const json& j) {
  ClientStatus s;
  s.state = static_cast<ClientState>(j.at(0).get<int>());
  s.app = j.at(1).get<std::string>();
  s.group = j.at(2).get<std::string>();
  s.node = j.at(3).get<std::string>();
  s.hostname = j.at(4).get<std::string>();
  s.epoch = j.at(5).get<std::string>();
  s.seq = j.at(6).get<std::uint64_t>();
  s.broker_address = j.at(7).get<std::string>();
  s.broker_hostname = j.at(8).get<std::string>();
  s.broker_head = j.at(9).get<std::uint64_t>();
  s.pending = j.at(10).get<std::uint64_t>();
  s.replica = j.at(11).get<std::string>();
  s.schema_version = j.at(12).get<std::uint64_t>();
  s.text = j.at(13).get<std::string>();
  s.stalled = j.at(14).get<bool>();
  return s;
}

json event_json(const ClientEvent& e) {
  return {static_cast<int>(e.kind),
          static_cast<int>(e.state),
          e.position,
          e.broker,
          e.text,
          e.bytes,
          e.total,
          e.tables,
          e.exit_code,
          e.pending,
          e.tx,
          e.outcome,
          e.path,
          keys_json(e.keys)};
}

ClientEvent event_of(const json& j) {
  ClientEvent e;
  e.kind = static_cast<ClientEvent::Kind>(j.at(0).get<int>());
  e.state = static_cast<ClientState>(j.at(1).get<int>());
  e.position = j.at(2).get<std::string>();
  e.broker = j.at(3).get<std::string>();
  e.text = j.at(4).get<std::string>();
  e.bytes = j.at(5).get<std::uint64_t>();
  e.total = j.at(6).get<std::uint64_t>();
  e.tables = j.at(7).get<std::vector<std::string>>();
  e.exit_code = j.at(8).get<int>();
  e.pending = j.at(9).get<std::uint64_t>();
  e.tx = j.at(10).get<std::string>();
  e.outcome = j.at(11).get<std::string>();
  e.path = j.at(12).get<std::string>();
  e.keys = keys_of(j.at(13));
  return e;
}

struct ToJson {
  json operator()(const DoorCall& m) const {
    return {Kind::kCall, m.ticket, m.timeout_ms, m.sent_before, request_json(m)};
  }
  json operator()(const DoorHello&) const { return json::array({Kind::kHello}); }
  json operator()(const DoorDone& m) const {
    return {Kind::kDone, m.ticket, result_json(m.result)};
  }
  json operator()(const DoorStatus& m) const { return {Kind::kStatus, status_json(m.status)}; }
  json operator()(const DoorEvent& m) const { return {Kind::kEvent, event_json(m.event)}; }
  json operator()(const DoorClosed&) const { return json::array({Kind::kClosed}); }
  json operator()(const DoorTx& m) const { return {Kind::kTx, m.ticket, to_string(m.tx)}; }
  json operator()(const DoorGo& m) const { return {Kind::kGo, to_string(m.tx)}; }
};

std::optional<DoorMessage> call_of(const json& j) {
  Result<Message> message = decode(j.at(4).get_binary());
  if (!message) return std::nullopt;
  DoorCall call{j.at(1).get<std::uint64_t>(), j.at(2).get<std::int64_t>(), j.at(3).get<bool>(),
                Write{}};
  if (auto* const write = std::get_if<Write>(&*message)) {
    call.request = std::move(*write);
  } else if (auto* const migrate = std::get_if<Migrate>(&*message)) {
    call.request = std::move(*migrate);
  } else if (auto* const rules = std::get_if<Rules>(&*message)) {
    call.request = std::move(*rules);
  } else if (auto* const outcome = std::get_if<OutcomeGet>(&*message)) {
    call.request = *outcome;
  } else {
    return std::nullopt;
  }
  if (!call.sent_before) set_tx(call.request, {});
  return call;
}

std::optional<DoorMessage> message_of(const json& j) {
  switch (static_cast<Kind>(j.at(0).get<int>())) {
    case Kind::kCall:
      return call_of(j);
    case Kind::kHello:
      return DoorHello{};
    case Kind::kDone:
      return DoorDone{j.at(1).get<std::uint64_t>(), result_of(j.at(2))};
    case Kind::kStatus:
      return DoorStatus{status_of(j.at(1))};
    case Kind::kEvent:
      return DoorEvent{event_of(j.at(1))};
    case Kind::kClosed:
      return DoorClosed{};
    case Kind::kTx:
      return DoorTx{j.at(1).get<std::uint64_t>(), tx_of(j.at(2))};
    case Kind::kGo:
      return DoorGo{tx_of(j.at(1))};
  }
  return std::nullopt;
}

}  // namespace

Bytes encode_door(const DoorMessage& message) {
  Bytes frame{kDoorVersion};
  const Bytes body = json::to_cbor(std::visit(ToJson{}, message));
  frame.insert(frame.end(), body.begin(), body.end());
  return frame;
}

std::optional<DoorMessage> decode_door(ByteView frame) {
  if (frame.size() < 2 || frame[0] != kDoorVersion) return std::nullopt;
  try {
    return message_of(json::from_cbor(frame.begin() + 1, frame.end()));
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

Result<std::string> door_path(const std::string& replica) {
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  const std::string base = runtime != nullptr && *runtime != '\0' ? runtime : "/tmp";
  const std::string folder = base + "/csa-" + std::to_string(::getuid());
  struct stat found {};
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return Error{Errc::kFailed, "cannot make " + folder + ": " + std::strerror(errno)};
  }
  if (::lstat(folder.c_str(), &found) != 0 || !S_ISDIR(found.st_mode) ||
      found.st_uid != ::getuid() || (found.st_mode & 077U) != 0) {
    return Error{Errc::kFailed, folder + " must be a folder that only you can enter (chmod 700)."};
  }
  std::error_code ignored;
  const std::string real = std::filesystem::weakly_canonical(replica, ignored).string();
  const std::string name = real.empty() ? replica : real;
  return folder + "/" + to_string(hash128(as_bytes(name))).substr(0, 16) + ".door";
}

}  // namespace csa
