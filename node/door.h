// The words between a replica's owner and other programs of the same user that work through it,
// over a local socket. Not part of the network protocol: both sides are the same version of csa,
// which the first byte of every frame proves.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "common/bytes.h"
#include "common/message.h"
#include "common/result.h"
#include "node/backend.h"

namespace csa {

struct DoorCall {  // guest to owner
  std::uint64_t ticket = 0;
  std::int64_t timeout_ms = 0;
  bool sent_before = false;  // by an earlier owner, under the request's TxId
  Backend::Request request;
};
struct DoorHello {};  // guest to owner: send me status and events from now on
struct DoorTx {       // owner to guest: the TxId of the write; it is sent after DoorGo alone, so
  std::uint64_t ticket = 0;  // that no end of the owner leaves the guest without it
  TxId tx;
};
struct DoorGo {  // guest to owner: I know it
  TxId tx;
};
struct DoorDone {  // owner to guest
  std::uint64_t ticket = 0;
  WriteResult result;
};
struct DoorStatus {  // owner to guest: at hello and at every change
  ClientStatus status;
};
struct DoorEvent {  // owner to guest
  ClientEvent event;
};
struct DoorClosed {};  // owner to guest: the owner leaves
using DoorMessage =
    std::variant<DoorCall, DoorHello, DoorDone, DoorStatus, DoorEvent, DoorClosed, DoorTx, DoorGo>;

[[nodiscard]] Bytes encode_door(const DoorMessage& message);
// nullopt: not a frame of this version; dropped.
[[nodiscard]] std::optional<DoorMessage> decode_door(ByteView frame);

// Where the owner of `replica` listens: a socket in a folder that only this user can enter, named
// after the replica's real path, because a socket's path is short. Makes the folder.
[[nodiscard]] Result<std::string> door_path(const std::string& replica);

}  // namespace csa
