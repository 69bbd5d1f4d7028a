#include <array>
#include <limits>
#include <type_traits>
#include <utility>

#include "common/clock_limits.h"
#include "common/codec.h"
#include "common/codec_fields.h"
#include "common/digest.h"
#include "common/limits.h"
#include "tests/support/sample_messages.h"

namespace csa::testing {
namespace {

// Fills every field with a random value; repair() then makes them agree with each other.
class Filler {
 public:
  template <class T>
  using Ref = T&;

  explicit Filler(std::mt19937_64& random) : random_(random) {}

  template <class T>
  void operator()(std::string_view /*name*/, T& field) {
    fill(field);
  }
  void sentence(std::string_view /*name*/, std::string& text) { fill(text); }

  // Small numbers and those at the borders of msgpack's forms are the likeliest.
  std::uint64_t number() {
    const std::uint64_t any = random_() >> (random_() % 64);
    switch (random_() % 4) {
      case 0:
        return any;
      case 1:
        return any % 200;
      case 2:
        return (std::uint64_t{1} << (random_() % 64)) - random_() % 2;
      default:
        return ~std::uint64_t{0} - any % 2;
    }
  }
  template <class T>
  std::enable_if_t<std::is_unsigned_v<T>> fill(T& value) {
    value = static_cast<T>(number());
  }
  void fill(bool& value) { value = random_() % 2 == 0; }
  void fill(std::int64_t& value) { value = static_cast<std::int64_t>(number()); }
  template <class T>
  std::enable_if_t<std::is_enum_v<T>> fill(T& value) {
    std::uint8_t last = 3;
    if constexpr (std::is_same_v<T, NodeState>) last = 8;
    if constexpr (std::is_same_v<T, RefusalCode>) last = 7;
    if constexpr (std::is_same_v<T, NackCode>) last = 10;
    if constexpr (std::is_same_v<T, ReplayResult>) last = 10;
    value = static_cast<T>(1 + random_() % last);
  }
  template <class T>
  std::enable_if_t<codec::kNested<T>> fill(T& value) {
    codec::fields(*this, value);
  }
  template <class T>
  void fill(std::optional<T>& value) {
    value.reset();
    if (random_() % 3 != 0) fill(value.emplace());
  }
  template <class T>
  void fill(std::vector<T>& list) {
    list.resize(random_() % 4 == 0 ? random_() % 40 : random_() % 4);
    for (T& element : list) fill(element);
  }
  void fill(std::string& text) {
    text.resize(random_() % 8 == 0 ? random_() % 400 : random_() % 40);
    for (char& c : text) c = static_cast<char>(random_());
  }
  void fill(Bytes& bytes) {
    bytes.resize(random_() % 8 == 0 ? random_() % 70000 : random_() % 40);
    // Of few values: these get shorter when they are compressed.
    const std::uint8_t mask = random_() % 2 == 0 ? 0xFF : 0x03;
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random_() & mask);
  }
  void fill(Id128& id) {
    for (std::uint8_t& byte : id.bytes) byte = static_cast<std::uint8_t>(random_());
  }
  void fill(NodeId& id) { fill(id.value); }
  void fill(DbId& id) { fill(id.value); }
  void fill(Chain& chain) { fill(chain.value); }
  void fill(Seq& seq) { seq.value = number(); }
  void fill(WallTime& time) { fill(time.ms); }
  void fill(Value& value) {
    switch (random_() % 6) {
      case 0:
        value = Null{};
        return;
      case 1:
        return fill(value.emplace<std::int64_t>());
      case 2:
        value = static_cast<double>(static_cast<std::int64_t>(random_())) / 1024.0;
        return;
      case 3:
        return fill(value.emplace<Text>().utf8);
      case 4:
        return fill(value.emplace<Bytes>());
      default:
        value.emplace<Text16>().units.assign(random_() % 20, static_cast<char16_t>(random_()));
    }
  }

 private:
  std::mt19937_64& random_;
};

void repair(std::vector<LogPiece>& pieces, Position& head, std::mt19937_64& random) {
  std::uint64_t seq = 1 + random() % 1000000;
  const LogPiece* before = nullptr;
  for (LogPiece& piece : pieces) {
    piece.header.seq = Seq{seq++};
    piece.offset = 0;
    piece.header.size = piece.bytes.size();
    if (before != nullptr && random() % 2 == 0) {
      ChainHasher chain(before->chain, piece.header);
      chain.update(piece.bytes);
      piece.chain = chain.digest();
    }
    before = &piece;
  }
  head.seq = Seq{seq - 1};
  if (!pieces.empty()) head.chain = pieces.back().chain;
}

void repair(Hello& m, std::mt19937_64& /*random*/) {
  if (m.protocol_min == 0) m.protocol_min = 1;
  if (m.protocol_max < m.protocol_min) m.protocol_max = m.protocol_min;
  if (!m.db) m.position.reset();
}
void repair(Welcome& m, std::mt19937_64& /*random*/) {
  m.protocol |= 1;
  m.pub_port |= 1;
  m.heartbeat_ms |= 1;
  if (m.node_timeout_ms < m.heartbeat_ms) m.node_timeout_ms = m.heartbeat_ms;
}
void repair(Pong& m, std::mt19937_64& /*random*/) {
  m.time.ms %= kClockMostMs;
  m.scale.since.ms %= kClockMostMs;
}
// The counter of what is sent to be run.
void repair(TxId& tx) { tx.counter = 1 + tx.counter % limits::kCounterMax; }
void repair(Write& m, std::mt19937_64& /*random*/) {
  repair(m.tx);
  if (m.expect && *m.expect < 0) m.expect = 0;
}
void repair(Migrate& m, std::mt19937_64& /*random*/) { repair(m.tx); }
void repair(Rules& m, std::mt19937_64& /*random*/) { repair(m.tx); }
void repair(Conflict& m, std::mt19937_64& /*random*/) { repair(m.tx); }
void repair(Ack& m, std::mt19937_64& random) {
  if (m.rows_lost) m.repeated = true;
  Filler filler(random);
  for (Row& row : m.rows) {
    row.resize(m.columns.size());
    for (Value& value : row) {
      filler.fill(value);
      if (auto* const blob = std::get_if<Bytes>(&value)) blob->resize(blob->size() % 100);
    }
  }
}
void repair(LogSlice& m, std::mt19937_64& random) {
  repair(m.pieces, m.head, random);
  if (m.pieces.empty()) return;
  m.head.seq.value += random() % 3;
  LogPiece& first = m.pieces.front();
  first.offset = random() % 100;
  first.header.size += first.offset;
  m.pieces.back().header.size += random() % 100;
}
void repair(Replay& m, std::mt19937_64& random) {
  repair(m.header.tx);
  if (m.header.lost.counter != 0) m.header.base.seq.value %= limits::kCounterMax;
  m.first = 1 + m.first % m.header.tx.counter;
  m.previous %= m.header.tx.counter;
  m.bytes.resize(std::max<std::size_t>(m.bytes.size(), 1));
  m.offset %= std::uint64_t{1} << 60U;
  m.header.size = m.offset + m.bytes.size() + random() % 100;
  if (m.header.lost.node.value.is_zero()) m.header.lost.counter = 0;
  if (m.header.lost.counter == 0) m.header.lost.node = NodeId{};
  if (m.header.origin.node.value.is_zero()) m.header.origin.counter = 0;
  if (m.header.origin.counter == 0) m.header.origin.node = NodeId{};
}
void repair(SnapshotChunk& m, std::mt19937_64& random) {
  m.offset %= std::uint64_t{1} << 60U;
  m.bytes.resize(random() % 5000, 7);
  m.total = m.offset + m.bytes.size() + random() % 100;
}
void repair(Update& m, std::mt19937_64& random) {
  m.pieces.resize(std::max<std::size_t>(m.pieces.size(), 1));
  repair(m.pieces, m.head, random);
  LogPiece& stub = m.pieces.back();
  if (random() % 2 == 0) {
    stub.bytes.clear();
    stub.header.size = 100000;
  }
}
void repair(RowsGet& m, std::mt19937_64& /*random*/) {
  for (std::uint32_t& bucket : m.buckets) bucket %= kDigestBuckets;
}
template <class M>
void repair(M& /*any values are valid*/, std::mt19937_64& /*random*/) {}

template <std::size_t I>
Message make(std::mt19937_64& random) {
  std::variant_alternative_t<I, AnyMessage> message;
  Filler filler(random);
  codec::fields(filler, message);
  repair(message, random);
  return message;
}

using Maker = Message (*)(std::mt19937_64&);
template <std::size_t... I>
constexpr std::array<Maker, sizeof...(I)> makers(std::index_sequence<I...> /*all*/) {
  return {&make<I>...};
}

}  // namespace

Message random_message(std::size_t index, std::mt19937_64& random) {
  static constexpr auto kMakers =
      makers(std::make_index_sequence<std::variant_size_v<AnyMessage>>());
  return kMakers.at(index)(random);
}

}  // namespace csa::testing
