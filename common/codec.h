// Messages and log headers to bytes and back (schemas/protocol.md, "Frames"). The only part that
// sees msgpack. Never throws for what the bytes hold, never trusts a length, proves the checksum
// before it decodes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "common/bytes.h"
#include "common/message.h"
#include "common/result.h"

namespace csa {

// REQUIRES: !invalid(message) and the result fits limits::kFrameMax (CSA_CHECK).
[[nodiscard]] Bytes encode(const Message& message);

// Errc::kMalformed: not a frame of csa, damaged, or values that cannot be; Errc::kUnknownType: a
// sound frame of a type or protocol version that this program does not know. `what` names message
// and field.
[[nodiscard]] Result<Message> decode(ByteView frame);

// REPLAY and REPLAYED are many, small and alike: they may travel joined, several in one frame.
[[nodiscard]] bool joins(const Message& message);
struct JoinedFrame {
  Bytes frame;
  std::size_t count = 0;  // of messages in it: one at least
};
// As many of `messages`, from the first one on, as go into one frame. REQUIRES: there is one, and
// each as for encode().
[[nodiscard]] JoinedFrame encode_joined(std::span<const Message* const> messages);
// One message at least, or an error as of decode(), for which several are one.
[[nodiscard]] Result<std::vector<Message>> decode_joined(ByteView frame);

// The header of a log entry as the log table keeps it; the chain is hashed over these bytes.
[[nodiscard]] Bytes encode_header(const EntryHeader& header);
[[nodiscard]] Result<EntryHeader> decode_header(ByteView bytes);

// chain after an entry = hash128(chain before || header bytes || changeset bytes).
class ChainHasher {
 public:
  ChainHasher(const Chain& before, const EntryHeader& header);
  void update(ByteView changeset_piece) { hasher_.update(changeset_piece); }
  [[nodiscard]] Chain digest() const { return Chain{hasher_.digest()}; }

 private:
  Hasher hasher_;
};

// The header of a journal entry as the journal keeps it.
[[nodiscard]] Bytes encode_header(const JournalHeader& header);
[[nodiscard]] Result<JournalHeader> decode_journal_header(ByteView bytes);

// The checksum of a journal entry = hash128(header bytes || changeset bytes). It is proved before
// anything of the entry is decoded, on the node's disk and at the broker.
class JournalHasher {
 public:
  explicit JournalHasher(const JournalHeader& header);
  void update(ByteView changeset_piece) { hasher_.update(changeset_piece); }
  [[nodiscard]] Id128 digest() const { return hasher_.digest(); }

 private:
  Hasher hasher_;
};

// Hash of what a request asks for, without its TxId: tells a repeat from another request.
[[nodiscard]] Id128 request_hash(const Write& write);
[[nodiscard]] Id128 request_hash(const Migrate& migrate);
[[nodiscard]] Id128 request_hash(const Rules& rules);
[[nodiscard]] Id128 request_hash(const Conflict& conflict);
// That of the WRITE under the same TxId, if there was one, else the entry's checksum.
[[nodiscard]] Id128 request_hash(const Replay& replay);

// Columns and rows of an Ack as one blob, for the stored outcome.
struct RowSet {
  std::vector<std::string> columns;
  std::vector<Row> rows;
  bool operator==(const RowSet&) const = default;
};
[[nodiscard]] Bytes encode_rows(const RowSet& rows);
[[nodiscard]] Result<RowSet> decode_rows(ByteView bytes);

// Key changes of a stored replay's outcome.
[[nodiscard]] Bytes encode_keys(const std::vector<KeyChange>& keys);
[[nodiscard]] Result<std::vector<KeyChange>> decode_keys(ByteView bytes);

// PUB frames: topic, then the frame.
[[nodiscard]] std::string topic_of(const Message& message);  // REQUIRES: a PUB message
[[nodiscard]] std::string proof_topic(const Id128& nonce);
struct TopicFrame {
  std::string_view topic;
  ByteView frame;
};
// Splits what SUB received; views into `bytes`.
[[nodiscard]] Result<TopicFrame> split_topic(ByteView bytes);

}  // namespace csa
