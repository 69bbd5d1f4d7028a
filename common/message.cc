#include "common/message.h"

#include <algorithm>
#include <array>
#include <limits>

#include "common/clock_limits.h"
#include "common/digest.h"
#include "common/limits.h"

namespace csa {
namespace {

using Why = std::optional<std::string>;

constexpr std::array<std::string_view, std::variant_size_v<AnyMessage>> kNames = {
    "HELLO",       "WELCOME",      "REFUSED",        "REHELLO",      "GOODBYE",       "PING",
    "PONG",        "WRITE",        "MIGRATE",        "OUTCOME_GET",  "ACK",           "NACK",
    "REPLAY",      "REPLAYED",     "RULES",          "CONFLICT",     "LOG_GET",       "LOG",
    "LOG_GONE",    "SNAPSHOT_GET", "SNAPSHOT_CHUNK", "SNAPSHOT_END", "SNAPSHOT_GONE", "LAYOUT_GET",
    "LAYOUT",      "UPDATE",       "HEAD",           "PROOF",        "PRESENCE",      "ADMIN",
    "ADMIN_REPLY", "DIGEST_GET",   "DIGEST",         "ROWS_GET",     "ROWS",          "CHECKED"};

// Enumerations count from 1 without gaps.
template <class E>
bool known(E value, E last) {
  return static_cast<std::uint8_t>(value) >= 1 && value <= last;
}

Why too_long(std::string_view field, std::string_view text) {
  if (text.size() <= limits::kTextMax) return std::nullopt;
  return std::string(field) + " has " + std::to_string(text.size()) + " bytes, at most " +
         std::to_string(limits::kTextMax) + " are allowed";
}

// Nobody comes so far by counting, and the others could not go on above it.
Why no_counter(const TxId& tx) {
  if (tx.counter == 0) return "tx has counter 0";
  if (tx.counter <= limits::kCounterMax) return std::nullopt;
  return "tx has counter " + std::to_string(tx.counter) + ", at most " +
         std::to_string(limits::kCounterMax) +
         " is taken, and nobody counts so far: a csa as new as the broker goes on under a new "
         "NodeId,"
         " another program must count on from last_counter";
}

// What a value takes in a frame at least.
std::size_t least_size(const Value& value) {
  if (const auto* const text = std::get_if<Text>(&value)) return 1 + text->utf8.size();
  if (const auto* const blob = std::get_if<Bytes>(&value)) return 1 + blob->size();
  if (const auto* const text = std::get_if<Text16>(&value)) return 1 + 2 * text->units.size();
  return 1;
}

std::size_t least_size(const Row& row) {
  std::size_t size = 0;
  for (const Value& value : row) size += least_size(value);
  return size;
}

// Rules of LOG's and UPDATE's pieces alike. `first_offset`: the first may be the rest of an entry.
Why bad_pieces(const std::vector<LogPiece>& pieces, const Position& head) {
  if (pieces.size() > limits::kPiecesMax) return "too many pieces";
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const LogPiece& piece = pieces[i];
    if (Why why = invalid(piece.header)) return why;
    if (piece.bytes.size() > limits::kPieceMax) return "a piece is too long";
    if (piece.offset > piece.header.size || piece.bytes.size() > piece.header.size - piece.offset) {
      return "a piece goes beyond its entry's size";
    }
    bytes += piece.bytes.size();
    if (i == 0) continue;
    if (piece.header.seq != pieces[i - 1].header.seq.next()) return "pieces are not consecutive";
    if (piece.offset != 0) return "only the first piece may start inside its entry";
  }
  if (bytes > limits::kUpdateMax) return "the pieces are too long together";
  if (!pieces.empty() && pieces.back().header.seq > head.seq) return "a piece is beyond the head";
  return std::nullopt;
}

struct Validity {
  Why operator()(const Hello& m) const {
    if (m.protocol_min == 0 || m.protocol_min > m.protocol_max) {
      return "protocol_min and protocol_max are no range";
    }
    if (!known(m.role, Role::kAdmin)) return "unknown role";
    if (m.position && !m.db) return "a position without a database";
    for (const auto& [field, text] :
         {std::pair("app", &m.app), std::pair("group", &m.group),
          std::pair("app_version", &m.app_version), std::pair("program", &m.program),
          std::pair("hostname", &m.hostname), std::pair("followed_at", &m.followed_at)}) {
      if (Why why = too_long(field, *text)) return why;
    }
    return std::nullopt;
  }
  Why operator()(const Welcome& m) const {
    if (m.protocol == 0) return "protocol is 0";
    if (m.pub_port == 0) return "pub_port is 0";
    if (m.heartbeat_ms == 0 || m.node_timeout_ms < m.heartbeat_ms) {
      return "node_timeout_ms is below heartbeat_ms, or that is 0";
    }
    if (Why why = too_long("hostname", m.hostname)) return why;
    return too_long("program", m.program);
  }
  Why operator()(const Refused& m) const {
    return known(m.code, RefusalCode::kGeneration) ? Why() : "unknown code";
  }
  Why operator()(const Ping& m) const {
    return known(m.state, NodeState::kLeaving) ? Why() : "unknown state";
  }
  Why operator()(const Write& m) const {
    if (Why why = no_counter(m.tx)) return why;
    if (m.parameters.size() > limits::kParametersMax) return "too many parameters";
    std::size_t size = m.sql.size();
    for (const Value& value : m.parameters) size += least_size(value);
    // The tags of short values may take a little more than what limits::kWriteMax counts.
    if (size > limits::kWriteMax + limits::kParametersMax) return "sql and parameters are too long";
    if (m.expect && *m.expect < 0) return "expect is negative";
    return std::nullopt;
  }
  Why operator()(const Migrate& m) const {
    if (Why why = no_counter(m.tx)) return why;
    return m.sql.size() <= limits::kWriteMax ? Why() : "sql is too long";
  }
  Why operator()(const Ack& m) const {
    if (m.rows_lost && !m.repeated) return "rows_lost without repeated";
    std::size_t size = 0;
    for (const Row& row : m.rows) {
      if (row.size() != m.columns.size()) return "a row has another number of values than columns";
      size += least_size(row);
    }
    return size <= limits::kRowsMax ? Why() : "the rows are too long";
  }
  Why operator()(const Nack& m) const {
    return known(m.code, NackCode::kUnknown) ? Why() : "unknown code";
  }
  Why operator()(const Replay& m) const {
    if (const Why why = invalid(m.header)) return why;
    if (const Why why = no_counter(m.header.tx)) return why;
    if (m.first == 0 || m.first > m.header.tx.counter) return "first is no counter of this journal";
    if (m.previous != 0 && m.previous >= m.header.tx.counter)
      return "previous does not come before";
    if (m.bytes.size() > limits::kPieceMax) return "the part is too long";
    if (m.offset > m.header.size || m.bytes.size() > m.header.size - m.offset) {
      return "the part goes beyond its entry's size";
    }
    return m.bytes.empty() ? "the part is empty" : Why();
  }
  Why operator()(const Replayed& m) const {
    if (!known(m.result, ReplayResult::kOffered)) return "unknown result";
    if (m.keys.size() > limits::kKeyChangesMax) return "too many keys";
    for (const KeyChange& key : m.keys) {
      if (const Why why = too_long("a table's name", key.table)) return why;
    }
    return std::nullopt;
  }
  Why operator()(const Rules& m) const {
    if (Why why = no_counter(m.tx)) return why;
    if (m.rules.size() > limits::kRuleSettingsMax) return "too many rules";
    for (const RuleSetting& one : m.rules) {
      for (const std::string* const name : {&one.table, &one.column, &one.rule}) {
        if (name->size() > limits::kRuleNameMax) return "a name in a rule is too long";
      }
    }
    return std::nullopt;
  }
  Why operator()(const Conflict& m) const {
    if (Why why = no_counter(m.tx)) return why;
    return known(m.verb, ConflictVerb::kRestoreRow) ? Why() : "unknown verb";
  }
  Why operator()(const LogSlice& m) const { return bad_pieces(m.pieces, m.head); }
  Why operator()(const SnapshotChunk& m) const {
    if (m.bytes.size() > limits::kChunkMax) return "the chunk is too long";
    if (m.offset > m.total || m.bytes.size() > m.total - m.offset) {
      return "the chunk goes beyond the copy's size";
    }
    return std::nullopt;
  }
  Why operator()(const Update& m) const {
    if (m.pieces.empty()) return "no pieces";
    if (Why why = bad_pieces(m.pieces, m.head)) return why;
    for (const LogPiece& piece : m.pieces) {
      if (piece.offset != 0 || !(piece.completes() || piece.is_stub())) {
        return "an entry is neither whole nor a stub";
      }
    }
    const LogPiece& last = m.pieces.back();
    if (last.header.seq != m.head.seq || last.chain != m.head.chain) {
      return "the head is not the last entry";
    }
    return std::nullopt;
  }
  Why operator()(const Presence& m) const {
    if (!known(m.event, PresenceEvent::kLost)) return "unknown event";
    if (Why why = too_long("hostname", m.hostname)) return why;
    return too_long("address", m.address);
  }
  Why operator()(const Pong& m) const {
    const bool possible = is_clock_ms(m.time.ms) && is_clock_ms(m.scale.since.ms);
    return possible ? Why() : "no clock shows such a time";
  }
  Why operator()(const Admin& m) const {
    return known(m.verb, AdminVerb::kVerify) ? Why() : "unknown verb";
  }
  Why operator()(const RowsGet& m) const {
    if (m.buckets.size() > kDigestBuckets) return "too many buckets";
    const auto other = [](std::uint32_t bucket) { return bucket >= kDigestBuckets; };
    return std::any_of(m.buckets.begin(), m.buckets.end(), other) ? "there is no such bucket"
                                                                  : Why();
  }
  // Every value can be.
  Why operator()(const DigestGet&) const { return {}; }
  Why operator()(const DigestReply&) const { return {}; }
  Why operator()(const RowsReply&) const { return {}; }
  Why operator()(const Checked&) const { return {}; }
  Why operator()(const Rehello&) const { return {}; }
  Why operator()(const Goodbye&) const { return {}; }
  Why operator()(const OutcomeGet&) const { return {}; }
  Why operator()(const LogGet&) const { return {}; }
  Why operator()(const LogGone&) const { return {}; }
  Why operator()(const SnapshotGet&) const { return {}; }
  Why operator()(const SnapshotEnd&) const { return {}; }
  Why operator()(const SnapshotGone&) const { return {}; }
  Why operator()(const LayoutGet&) const { return {}; }
  Why operator()(const LayoutReply&) const { return {}; }
  Why operator()(const Head&) const { return {}; }
  Why operator()(const Proof&) const { return {}; }
  Why operator()(const AdminReply&) const { return {}; }
};

}  // namespace

Message::Message() = default;
Message::Message(const Message& other) = default;
Message::Message(Message&& other) noexcept = default;
Message& Message::operator=(const Message& other) = default;
Message& Message::operator=(Message&& other) noexcept = default;
Message::~Message() = default;

std::string_view to_string(NodeState state) {
  switch (state) {
    case NodeState::kSearching:
      return "searching";
    case NodeState::kGreeting:
      return "greeting";
    case NodeState::kReplaying:
      return "replaying";
    case NodeState::kCatchingUp:
      return "catching-up";
    case NodeState::kLive:
      return "live";
    case NodeState::kStandalone:
      return "standalone";
    case NodeState::kRefused:
      return "refused";
    case NodeState::kLeaving:
      return "leaving";
  }
  return "?";
}

std::string_view to_string(NackCode code) {
  switch (code) {
    case NackCode::kConstraint:
      return "constraint";
    case NackCode::kSql:
      return "sql";
    case NackCode::kForbidden:
      return "forbidden";
    case NackCode::kLimit:
      return "limit";
    case NackCode::kTimeout:
      return "timeout";
    case NackCode::kBusy:
      return "busy";
    case NackCode::kExpect:
      return "expect";
    case NackCode::kExpired:
      return "expired";
    case NackCode::kMismatch:
      return "mismatch";
    case NackCode::kUnknown:
      return "unknown";
  }
  return "?";
}

std::string_view to_string(ReplayResult result) {
  switch (result) {
    case ReplayResult::kMore:
      return "more";
    case ReplayResult::kAgain:
      return "again";
    case ReplayResult::kBusy:
      return "busy";
    case ReplayResult::kApplied:
      return "applied";
    case ReplayResult::kMerged:
      return "merged";
    case ReplayResult::kSuperseded:
      return "superseded";
    case ReplayResult::kSplit:
      return "split";
    case ReplayResult::kParked:
      return "parked";
    case ReplayResult::kStood:
      return "stood";
    case ReplayResult::kOffered:
      return "offered";
  }
  return "?";
}

std::string_view name_of(const Message& message) { return kNames.at(message.index()); }

std::optional<std::string> invalid(const Message& message) {
  return std::visit(Validity{}, message);
}

std::optional<std::string> invalid(const EntryHeader& header) {
  if (header.seq.value == 0) return "an entry has seq 0";
  if (!known(header.kind, EntryKind::kCopy)) return "an entry has an unknown kind";
  return too_long("an entry's hostname", header.hostname);
}

std::optional<std::string> invalid(const JournalHeader& header) {
  if (header.tx.node.value.is_zero() || header.tx.counter == 0) return "an entry has no TxId";
  if (header.lost.node.value.is_zero() != (header.lost.counter == 0)) {
    return "a lost entry has half a TxId";
  }
  if (header.origin.node.value.is_zero() != (header.origin.counter == 0)) {
    return "an entry has half of its first TxId";
  }
  // Recovered, it has the next Seq for its counter.
  if (header.lost.counter != 0 && header.base.seq.value >= limits::kCounterMax) {
    return "a lost entry has a Position that no history comes to";
  }
  if (const auto why = too_long("a lost entry's hostname", header.lost_hostname)) return why;
  return header.size > 0 ? Why() : "an entry changes nothing";
}

}  // namespace csa
