// From the core's plain values to the public ones of client.h, and to the JSON that travels between
// a replica's owner and its guests.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node/client.h"
#include "node/session.h"

namespace csa {

[[nodiscard]] ClientState to_client(NodeState state);
[[nodiscard]] std::vector<ChangedKey> to_client(const std::vector<KeyChange>& keys);
[[nodiscard]] WriteResult to_result(const Ack& ack, bool visible);
[[nodiscard]] WriteResult to_result(const Nack& nack);
[[nodiscard]] WriteResult to_result(const WriteDone& done);
// kNoBroker or kUnknown with a sentence.
[[nodiscard]] WriteResult failed_result(WriteResult::Status status, std::string message);
// nullopt: Stopped and what else is no event for the application.
[[nodiscard]] std::optional<ClientEvent> to_event(const SessionEvent& event);

}  // namespace csa
