#include "common/codec.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/check.h"
#include "common/codec_packing.h"
#include "common/codec_reader.h"
#include "common/codec_writer.h"
#include "common/limits.h"

namespace csa {

namespace codec {

struct KeyChanges {
  std::vector<KeyChange> keys;
};
template <class A>
void fields(A& a, Ref<A, KeyChanges> v) {
  a("keys", v.keys);
}

template <class A>
void fields(A& a, Ref<A, RowSet> v) {
  a("columns", v.columns);
  a("rows", v.rows);
}

}  // namespace codec

namespace {

using codec::Reader;
using codec::Writer;

constexpr std::array<std::uint8_t, 2> kSignature = {0xC5, 0x5A};
constexpr std::size_t kPrefix = 8;    // signature, version, type, body length
constexpr std::size_t kChecksum = 8;  // XXH3-64 of all before it
constexpr std::size_t kBodyMax = limits::kFrameMax - kPrefix - kChecksum;  // unpacked

void append_be(std::uint64_t value, std::size_t octets, Bytes& out) {
  for (std::size_t i = octets; i-- > 0;) {
    out.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
}

std::uint64_t read_be(ByteView bytes) {
  std::uint64_t value = 0;
  for (const std::uint8_t byte : bytes) value = value << 8U | byte;
  return value;
}

// Roughly what the body will take, so that large ones are not copied while they grow.
struct SizeGuess {
  std::size_t operator()(const Write& m) const { return m.sql.size() + 32 * m.parameters.size(); }
  std::size_t operator()(const Replay& m) const { return m.bytes.size(); }
  std::size_t operator()(const Ack& m) const { return 64 * m.rows.size(); }
  std::size_t operator()(const Update& m) const { return pieces(m.pieces); }
  std::size_t operator()(const LogSlice& m) const { return pieces(m.pieces); }
  std::size_t operator()(const SnapshotChunk& m) const { return m.bytes.size(); }
  std::size_t operator()(const AdminReply& m) const { return m.json.size(); }
  std::size_t operator()(const DigestReply& m) const { return 64 * m.tables.size(); }
  std::size_t operator()(const RowsReply& m) const { return 48 * m.rows.size(); }
  std::size_t operator()(const Checked& m) const { return 64 * m.tables.size(); }
  std::size_t operator()(const LayoutReply& m) const { return m.json.size(); }
  template <class M>
  std::size_t operator()(const M& /*small*/) const {
    return 0;
  }
  static std::size_t pieces(const std::vector<LogPiece>& list) {
    std::size_t size = 0;
    for (const LogPiece& piece : list) size += 160 + piece.bytes.size();
    return size;
  }
};

void append_array(const Message& message, Bytes& out) {
  CSA_CHECK(!invalid(message));
  Writer writer(out);
  std::visit(
      [&](const auto& value) {
        writer.array(codec::field_count(value));
        codec::fields(writer, value);
      },
      message);
}

Error malformed(std::string what) { return {Errc::kMalformed, std::move(what)}; }

// Types whose messages may share a frame.
template <class M>
constexpr bool kJoins = std::is_same_v<M, Replay> || std::is_same_v<M, Replayed>;

template <std::size_t I>
Result<Message> decode_array(Reader& reader, ByteView payload) {
  Message message(std::in_place_index<I>);
  auto& value = *std::get_if<I>(&message);
  reader.record(value, true);
  const auto failed = [&](const std::string& why) {
    return malformed("decode " + std::string(name_of(message)) + ": " + why);
  };
  if (!reader.ok()) return failed(reader.error());
  using M = std::variant_alternative_t<I, AnyMessage>;
  if (!kJoins<M> && !reader.at_end()) return failed("bytes behind the body's array");
  if constexpr (std::is_same_v<M, SnapshotChunk>) {
    value.bytes.assign(payload.begin(), payload.end());
  } else if (!payload.empty()) {
    return failed("an unexpected payload");
  }
  if (const std::optional<std::string> why = invalid(message)) return failed(*why);
  return message;
}

template <std::size_t I>
Result<std::vector<Message>> decode_body(ByteView body, ByteView payload) {
  std::vector<Message> messages;
  Reader reader(body);
  do {
    if (messages.size() == limits::kJoinedMax) return malformed("The frame has too many messages.");
    Result<Message> message = decode_array<I>(reader, payload);
    if (!message) return message.error();
    messages.push_back(std::move(*message));
  } while (!reader.at_end());
  return messages;
}

using BodyDecoder = Result<std::vector<Message>> (*)(ByteView body, ByteView payload);

template <std::size_t... I>
constexpr std::array<BodyDecoder, sizeof...(I)> decoders(std::index_sequence<I...> /*all*/) {
  return {&decode_body<I>...};
}
constexpr auto kDecoders = decoders(std::make_index_sequence<std::variant_size_v<AnyMessage>>());

// A bare array that is no frame: log headers, stored rows.
template <class T>
Result<T> decode_record(ByteView bytes, const char* what) {
  T value;
  Reader reader(bytes);
  reader.record(value, false);
  if (!reader.ok()) return malformed(std::string("decode ") + what + ": " + reader.error());
  if (!reader.at_end()) return malformed(std::string("decode ") + what + ": bytes behind its end");
  return value;
}

// The canonical bytes of a request are an array of its type number and these parts.
template <class... Parts>
Id128 hash_of(const Message& request, const Parts&... parts) {
  Bytes bytes;
  Writer writer(bytes);
  writer.array(1 + sizeof...(parts));
  writer.put(codec::kTypes.at(request.index()));
  (writer.put(parts), ...);
  return hash128(bytes);
}

}  // namespace

bool joins(const Message& message) {
  return std::visit([]<class M>(const M& /*any*/) { return kJoins<M>; }, message);
}

JoinedFrame encode_joined(std::span<const Message* const> messages) {
  CSA_CHECK(!messages.empty());
  const Message& first = *messages.front();
  Bytes out;
  out.reserve(kPrefix + kChecksum + 256 + std::visit(SizeGuess{}, first));
  out.assign(kSignature.begin(), kSignature.end());
  out.push_back(kProtocolVersion);
  out.push_back(codec::kTypes[first.index()]);
  append_be(0, 4, out);
  std::size_t count = 0;
  for (const Message* const message : messages) {
    const bool goes = joins(first) && message->index() == first.index() &&
                      count < limits::kJoinedMax &&
                      out.size() + std::visit(SizeGuess{}, *message) <= limits::kJoinedBytes;
    if (count > 0 && !goes) break;
    append_array(*message, out);
    ++count;
  }
  CSA_CHECK(out.size() - kPrefix <= kBodyMax);
  codec::pack_body(out, kPrefix);
  const std::size_t body = out.size() - kPrefix;
  for (std::size_t i = 0; i < 4; ++i) {
    out[4 + i] = static_cast<std::uint8_t>(body >> (8 * (3 - i)));
  }
  if (const auto* const chunk = std::get_if<SnapshotChunk>(&first)) {
    out.insert(out.end(), chunk->bytes.begin(), chunk->bytes.end());
  }
  append_be(hash64(out), kChecksum, out);
  CSA_CHECK(out.size() <= limits::kFrameMax);
  return {std::move(out), count};
}

Bytes encode(const Message& message) {
  const std::array<const Message*, 1> one = {&message};
  return encode_joined(one).frame;
}

Result<Message> decode(ByteView frame) {
  Result<std::vector<Message>> messages = decode_joined(frame);
  if (!messages) return messages.error();
  if (messages->size() > 1) return malformed("The frame has more than one message.");
  return std::move(messages->front());
}

Result<std::vector<Message>> decode_joined(ByteView frame) {
  if (frame.size() < kPrefix + kChecksum) return malformed("The frame is too short.");
  if (frame.size() > limits::kFrameMax) return malformed("The frame is too long.");
  if (!std::equal(kSignature.begin(), kSignature.end(), frame.begin())) {
    return malformed("The frame has no signature of csa.");
  }
  const ByteView sealed = frame.first(frame.size() - kChecksum);
  if (read_be(frame.last(kChecksum)) != hash64(sealed)) {
    return malformed("The frame is damaged: wrong checksum.");
  }
  const std::uint64_t body = read_be(frame.subspan(4, 4));
  const ByteView rest = sealed.subspan(kPrefix);
  if (body > rest.size()) return malformed("The frame is shorter than its body.");
  if (frame[2] != kProtocolVersion) {
    return Error{Errc::kUnknownType, "The frame has protocol version " + std::to_string(frame[2]) +
                                         ", this program speaks " +
                                         std::to_string(kProtocolVersion) + "."};
  }
  const auto type = std::find(codec::kTypes.begin(), codec::kTypes.end(), frame[3]);
  if (type == codec::kTypes.end()) {
    return Error{Errc::kUnknownType, "Unknown message type " + std::to_string(frame[3]) + "."};
  }
  const BodyDecoder& decoder = kDecoders.at(static_cast<std::size_t>(type - codec::kTypes.begin()));
  const ByteView payload = rest.subspan(body);
  if (!codec::is_packed(rest.first(body))) return decoder(rest.first(body), payload);
  const Result<Bytes> unpacked = codec::unpack_body(rest.first(body), kBodyMax);
  if (!unpacked) return unpacked.error();
  return decoder(*unpacked, payload);
}

Bytes encode_header(const EntryHeader& header) {
  Bytes bytes;
  Writer(bytes).put(header);
  return bytes;
}

Result<EntryHeader> decode_header(ByteView bytes) {
  Result<EntryHeader> header = decode_record<EntryHeader>(bytes, "log header");
  if (!header) return header;
  if (const auto why = invalid(*header)) return malformed("decode log header: " + *why);
  return header;
}

Bytes encode_header(const JournalHeader& header) {
  Bytes bytes;
  Writer(bytes).put(header);
  return bytes;
}

Result<JournalHeader> decode_journal_header(ByteView bytes) {
  Result<JournalHeader> header = decode_record<JournalHeader>(bytes, "journal header");
  if (!header) return header;
  if (const auto why = invalid(*header)) return malformed("decode journal header: " + *why);
  return header;
}

JournalHasher::JournalHasher(const JournalHeader& header) { hasher_.update(encode_header(header)); }

ChainHasher::ChainHasher(const Chain& before, const EntryHeader& header) {
  hasher_.update(before.value.bytes);
  hasher_.update(encode_header(header));
}

Id128 request_hash(const Write& write) {
  if (write.nonce == 0) return hash_of(Write{}, write.sql, write.parameters, write.expect);
  return hash_of(Write{}, write.sql, write.parameters, write.expect, write.nonce);
}

Id128 request_hash(const Migrate& migrate) {
  return hash_of(Migrate{}, migrate.sql, migrate.version);
}

Id128 request_hash(const Rules& rules) { return hash_of(Rules{}, rules.rules, rules.replace); }

Id128 request_hash(const Conflict& conflict) {
  return hash_of(Conflict{}, conflict.id, conflict.verb);
}

Id128 request_hash(const Replay& replay) {
  const Id128& sent = replay.header.request_hash;
  return sent.is_zero() ? replay.checksum : sent;
}

Bytes encode_rows(const RowSet& rows) {
  Bytes bytes;
  Writer writer(bytes);
  writer.array(codec::field_count(rows));
  codec::fields(writer, rows);
  return bytes;
}

Result<RowSet> decode_rows(ByteView bytes) { return decode_record<RowSet>(bytes, "rows"); }

Bytes encode_keys(const std::vector<KeyChange>& keys) {
  Bytes bytes;
  Writer writer(bytes);
  writer.array(1);
  writer.put(keys);
  return bytes;
}

Result<std::vector<KeyChange>> decode_keys(ByteView bytes) {
  Result<codec::KeyChanges> read = decode_record<codec::KeyChanges>(bytes, "keys");
  if (!read) return read.error();
  return std::move(read->keys);
}

std::string topic_of(const Message& message) {
  if (std::holds_alternative<Update>(message)) return "c";
  if (std::holds_alternative<Head>(message)) return "h";
  if (std::holds_alternative<Presence>(message)) return "p";
  const auto* const proof = std::get_if<Proof>(&message);
  CSA_CHECK(proof != nullptr);
  return proof_topic(proof->nonce);
}

std::string proof_topic(const Id128& nonce) { return "n" + std::string(as_text(nonce.bytes)); }

Result<TopicFrame> split_topic(ByteView bytes) {
  const std::string_view text = as_text(bytes);
  const std::string_view kind = text.substr(0, 1);
  std::size_t size = 1;
  if (kind == "n") {
    size += sizeof(Id128::bytes);
  } else if (kind != "c" && kind != "h" && kind != "p") {
    return malformed("A published frame has no topic of csa.");
  }
  if (text.size() < size) return malformed("A published frame ends inside its topic.");
  return TopicFrame{text.substr(0, size), bytes.subspan(size)};
}

}  // namespace csa
