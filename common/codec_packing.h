// Bodies of frames that are compressed on the wire (schemas/protocol.md, "Frames"): one frame of
// zstd instead of the msgpack array. For codec.cc; the only part that sees zstd. For any thread:
// each keeps contexts of its own.
#pragma once

#include "common/bytes.h"
#include "common/result.h"

namespace csa::codec {

// Replaces the body, which is all of `frame` from `start` on, by its compressed form where that is
// worth it: bodies that are not short, and get shorter. Equal bodies have equal results in one
// process; another version of zstd may give other bytes.
void pack_body(Bytes& frame, std::size_t start);

// Whether it begins as a compressed body does. No msgpack array does.
[[nodiscard]] bool is_packed(ByteView body);

// The body as it was. Trusts nothing: kMalformed with a sentence where `packed` is not exactly one
// frame of zstd whose window is its content, without a dictionary, or has more than `most` bytes of
// content. Allocates no more than the content that is declared. REQUIRES: is_packed(packed).
[[nodiscard]] Result<Bytes> unpack_body(ByteView packed, std::size_t most);

}  // namespace csa::codec
