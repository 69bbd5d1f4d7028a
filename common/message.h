// One struct for every message of the wire, as schemas/protocol.md defines them: read that first.
// Plain values. codec.h turns them into bytes and back; invalid() says what no codec can see.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/bytes.h"
#include "common/log_entry.h"
#include "common/replay.h"
#include "common/types.h"
#include "common/value.h"
#include "common/verification.h"

namespace csa {

inline constexpr std::uint8_t kProtocolVersion = 1;

// What a peer of the broker is there for. Wire values, never reused.
enum class Role : std::uint8_t { kNode = 1, kMonitor = 2, kAdmin = 3 };

// A node's states, in its PING and in `state=` lines. Wire values, never reused.
enum class NodeState : std::uint8_t {
  kSearching = 1,
  kGreeting = 2,
  kReplaying = 3,
  kCatchingUp = 4,
  kLive = 5,
  kStandalone = 6,
  kRefused = 7,
  kLeaving = 8,
};
[[nodiscard]] std::string_view to_string(NodeState state);

enum class RefusalCode : std::uint8_t {
  kProtocol = 1,     // no common protocol version
  kApplication = 2,  // another application or group
  kAppVersion = 3,   // another version of the application
  kDatabase = 4,     // the replica belongs to another database
  kIdentity = 5,     // another living node has this NodeId
  kFull = 6,         // more peers than the broker serves
  kGeneration = 7,   // the node has seen a later generation than the broker's
};

// Why a write was rejected; the words of `exec --json`.
enum class NackCode : std::uint8_t {
  kConstraint = 1,
  kSql = 2,
  kForbidden = 3,
  kLimit = 4,
  kTimeout = 5,
  kBusy = 6,  // no outcome: may be sent again under the same TxId
  kExpect = 7,
  kExpired = 8,   // TxId at or below the floor of outcomes: never run
  kMismatch = 9,  // the same TxId with another body
  kUnknown = 10,  // OUTCOME_GET: the master holds no outcome of this TxId
};
[[nodiscard]] std::string_view to_string(NackCode code);

struct Hello {
  std::uint8_t protocol_min = kProtocolVersion;
  std::uint8_t protocol_max = kProtocolVersion;
  Role role = Role::kNode;
  std::string app;
  std::string group;
  std::string app_version;  // empty matches all
  std::string program;      // "csa-node 0.1.0", for people
  std::string hostname;
  NodeId node;             // zero unless role is kNode
  Id128 incarnation;       // random, one a process: tells a reconnect from a copied replica
  Id128 proof_nonce;       // names the private topic that proves the subscription
  std::optional<DbId> db;  // nothing: no replica yet
  std::optional<Position> position;
  std::uint64_t generation_seen = 0;  // the highest this node has followed
  std::uint64_t counter = 0;          // highest TxId counter this node may have used
  std::uint64_t confirmed = 0;        // outcomes up to here are no longer needed
  std::string followed_at;            // "HOST:PORT" of the broker that it followed last, or empty
  bool operator==(const Hello&) const = default;
};

struct Welcome {
  std::uint8_t protocol = kProtocolVersion;
  Id128 boot;  // random, one a run of the broker
  DbId db;
  Position head;
  Seq floor;  // oldest entry that the log holds
  std::uint64_t schema_version = 0;
  std::uint16_t pub_port = 0;
  std::uint32_t heartbeat_ms = 0;
  std::uint32_t node_timeout_ms = 0;
  std::uint32_t statement_timeout_ms = 0;
  std::uint64_t last_counter = 0;  // highest counter of this NodeId that the master has seen
  std::string hostname;
  std::string program;
  bool nonces = false;  // a WRITE's nonce is part of its request hash
  bool operator==(const Welcome&) const = default;
};

struct Refused {
  RefusalCode code = RefusalCode::kProtocol;
  std::string text;
  bool operator==(const Refused&) const = default;
};

struct Rehello {
  bool operator==(const Rehello&) const = default;
};

struct Goodbye {
  std::string reason;
  bool operator==(const Goodbye&) const = default;
};

struct Ping {
  std::uint64_t number = 0;  // echoed
  NodeState state = NodeState::kSearching;
  Position position;
  std::uint64_t pending = 0;    // journaled changes not yet handed over
  std::uint64_t confirmed = 0;  // as in Hello
  bool operator==(const Ping&) const = default;
};

struct Pong {
  std::uint64_t number = 0;
  Position head;
  WallTime time;                    // broker's time; a node's answer tells none
  std::uint32_t ledger_age_ms = 0;  // how long the ledger has had work and made no progress
  TimeScale scale = {};             // of `time`
  bool operator==(const Pong&) const = default;
};

// All statements of `sql` are one transaction; parameters are bound from left to right over them.
struct Write {
  TxId tx;
  std::string sql;
  Row parameters;
  std::optional<std::int64_t> expect;  // reject unless so many rows change
  std::uint32_t wait_ms = 0;           // BUSY where it has not begun by then; 0: it waits for ever
  // Random, where the broker takes it into the request hash: copies of a replica may give one TxId
  // to equal requests, which are two.
  std::uint64_t nonce = 0;
  bool operator==(const Write&) const = default;
};

// A schema change to `version`; nothing: the next one. Reached already: acknowledged, no effect.
struct Migrate {
  TxId tx;
  std::string sql;
  std::optional<std::uint64_t> version;
  bool operator==(const Migrate&) const = default;
};

// By which rule replays are merged: of a table (column empty), also atomic or rowwise, or of one of
// its columns. Names as in csa_rule.
struct RuleSetting {
  std::string table;
  std::string column;
  std::string rule;
  bool operator==(const RuleSetting&) const = default;
};

// Sets rules, all or none. replace: every other rule goes. Its Ack's rows are all rules after it.
struct Rules {
  TxId tx;
  std::vector<RuleSetting> rules;
  bool replace = false;
  bool operator==(const Rules&) const = default;
};

// Of the inbox. kRestore: the loser's row becomes the row, with all of a transaction kept whole (in
// the Ack: ids, changed numbers); kRestoreRow: alone. kDismiss: it is looked at. kShow: in the Ack
// the inbox from `id` on. Of csa_lost: kShowLost as kShow; kRecover: merged now, the outcome is in
// the Ack; kForgetLost: nobody wants it. Wire values, never reused.
enum class ConflictVerb : std::uint8_t {
  kRestore = 1,
  kDismiss = 2,
  kShow = 3,
  kShowLost = 4,
  kRecover = 5,
  kForgetLost = 6,
  kRestoreRow = 7,
};

struct Conflict {
  TxId tx;
  std::int64_t id = 0;
  ConflictVerb verb = ConflictVerb::kShow;
  bool operator==(const Conflict&) const = default;
};

struct OutcomeGet {
  TxId tx;
  bool operator==(const OutcomeGet&) const = default;
};

struct Ack {
  TxId tx;
  Seq seq;  // where the effect is visible
  std::int64_t changes = 0;
  std::optional<std::int64_t> last_insert_rowid;
  std::uint64_t schema_version = 0;  // after it
  bool repeated = false;             // the outcome of an earlier request under this TxId
  bool rows_lost = false;            // repeated, and the rows were not kept
  std::vector<std::string> columns;
  std::vector<Row> rows;
  bool operator==(const Ack&) const = default;
};

struct Nack {
  TxId tx;
  NackCode code = NackCode::kSql;
  std::string message;
  std::uint32_t statement = 0;  // which statement of the call, from 0
  bool operator==(const Nack&) const = default;
};

// Entries after `after`, from byte `offset` of the first one on. A zero Epoch or Chain is not
// compared (monitors that start at a Seq).
struct LogGet {
  std::uint64_t request = 0;  // echoed
  Position after;
  std::uint64_t offset = 0;
  std::uint32_t max_bytes = 0;
  bool operator==(const LogGet&) const = default;
};

// LOG. (`Log` is the logger.)
struct LogSlice {
  std::uint64_t request = 0;
  Position head;
  Seq floor;
  std::vector<LogPiece> pieces;
  bool operator==(const LogSlice&) const = default;
};

// The log cannot continue from there: take a full copy. `text` says why.
struct LogGone {
  std::uint64_t request = 0;
  Position head;
  Seq floor;
  std::string text;
  bool operator==(const LogGone&) const = default;
};

// snapshot zero: begin. Answered by an empty chunk that names the snapshot.
struct SnapshotGet {
  Id128 snapshot;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
  Seq at_least = {};  // begin: a copy that was cut before this Seq will not do
  bool map = false;   // bytes of the copy's page map, not of the copy
  bool operator==(const SnapshotGet&) const = default;
};

struct SnapshotChunk {
  Id128 snapshot;
  std::uint64_t total = 0;
  std::uint64_t offset = 0;
  Bytes bytes;
  std::uint32_t page_size = 0;  // in the answer to "begin": of the page map; 0: there is none
  bool map = false;             // total, offset and bytes are the map's
  bool operator==(const SnapshotChunk&) const = default;
};

// Asked for by a SnapshotGet at offset == total.
struct SnapshotEnd {
  Id128 snapshot;
  std::uint64_t total = 0;
  Id128 hash;
  Position position;
  bool operator==(const SnapshotEnd&) const = default;
};

// The broker no longer holds it, or could not cut it: begin anew after a while.
struct SnapshotGone {
  Id128 snapshot;
  std::string text;
  bool operator==(const SnapshotGone&) const = default;
};

struct LayoutGet {
  std::uint64_t schema_version = 0;
  bool operator==(const LayoutGet&) const = default;
};

struct LayoutReply {
  std::uint64_t schema_version = 0;
  std::string json;  // schema.h; empty: not known
  bool operator==(const LayoutReply&) const = default;
};

// PUB, topic "c": the transactions of one commit.
struct Update {
  Position head;  // after the last piece
  std::vector<LogPiece> pieces;
  bool operator==(const Update&) const = default;
};

// PUB, topic "h".
struct Head {
  Position head;
  Seq floor;
  Id128 boot;
  WallTime time;
  std::uint32_t ledger_age_ms = 0;
  bool operator==(const Head&) const = default;
};

// PUB, topic "n" + nonce.
struct Proof {
  Id128 nonce;
  Position head;
  bool operator==(const Proof&) const = default;
};

enum class PresenceEvent : std::uint8_t { kJoin = 1, kLeave = 2, kLost = 3 };

// PUB, topic "p".
struct Presence {
  PresenceEvent event = PresenceEvent::kJoin;
  NodeId node;
  std::string hostname;
  std::string address;
  WallTime time;
  bool operator==(const Presence&) const = default;
};

// kVerify: all nodes compare themselves with the master. Wire values, never reused.
enum class AdminVerb : std::uint8_t { kStatus = 1, kNodes = 2, kStop = 3, kVerify = 4 };

struct Admin {
  std::uint64_t request = 0;  // echoed
  AdminVerb verb = AdminVerb::kStatus;
  std::uint32_t wait_ms = 0;  // kVerify: it is answered by then
  bool operator==(const Admin&) const = default;
};

struct AdminReply {
  std::uint64_t request = 0;
  bool ok = false;
  std::string text;  // why not, for people
  std::string json;  // the answer, as schemas/cli.md shows it
  bool operator==(const AdminReply&) const = default;
};

// Any message. Derived, so that copying, moving and destroying its structs is compiled once,
// in message.cc, and not in every file that touches a message.
using AnyMessage =
    std::variant<Hello, Welcome, Refused, Rehello, Goodbye, Ping, Pong, Write, Migrate, OutcomeGet,
                 Ack, Nack, Replay, Replayed, Rules, Conflict, LogGet, LogSlice, LogGone,
                 SnapshotGet, SnapshotChunk, SnapshotEnd, SnapshotGone, LayoutGet, LayoutReply,
                 Update, Head, Proof, Presence, Admin, AdminReply, DigestGet, DigestReply, RowsGet,
                 RowsReply, Checked>;
struct Message : AnyMessage {
  using AnyMessage::AnyMessage;
  Message();
  Message(const Message& other);
  Message(Message&& other) noexcept;
  Message& operator=(const Message& other);
  Message& operator=(Message&& other) noexcept;
  ~Message();
};

// "HELLO", "LOG_GET", ... as in protocol.md.
[[nodiscard]] std::string_view name_of(const Message& message);
// Why a decoded message's values cannot be (limits, contradictions of fields); nothing: they can.
[[nodiscard]] std::optional<std::string> invalid(const Message& message);

}  // namespace csa
