// Every bound of csa in one place, and how they relate. Sizes are bytes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace csa::limits {

inline constexpr std::size_t kKiB = 1024;
inline constexpr std::size_t kMiB = 1024 * kKiB;

// Wire.
inline constexpr std::size_t kFrameMax = 4 * kMiB;        // any frame, as ZMQ_MAXMSGSIZE
inline constexpr std::size_t kPieceMax = 256 * kKiB;      // a part of a log entry's body
inline constexpr std::size_t kInlineBodyMax = 64 * kKiB;  // larger bodies travel as stubs in UPDATE
inline constexpr std::size_t kUpdateMax = kMiB;           // bodies in one UPDATE or LOG
inline constexpr std::size_t kChunkMax = 256 * kKiB;      // snapshot bytes in one chunk
inline constexpr std::size_t kSnapshotWindow = 4 * kMiB;  // snapshot bytes asked for, not yet here
inline constexpr std::size_t kWriteMax = 3 * kMiB;        // SQL text and parameters of one write
inline constexpr std::size_t kRowsMax = 2 * kMiB;         // rows sent back with one ACK
inline constexpr std::size_t kTextMax = 4 * kKiB;         // host names, versions, error sentences
inline constexpr std::size_t kParametersMax = 32766;      // SQLite's own bound for one statement
inline constexpr std::size_t kPiecesMax = 4096;           // pieces in one UPDATE or LOG
inline constexpr std::size_t kJoinedMax = 256;            // messages in one frame
inline constexpr std::size_t kJoinedBytes = 256 * kKiB;   // together, where there are several
inline constexpr std::size_t kKeyChangesMax = 500;        // told with one REPLAYED
inline constexpr std::size_t kRuleSettingsMax = 1000;     // in one RULES
inline constexpr std::size_t kRuleNameMax = 1000;         // of a table, column or rule in it
static_assert(kRuleSettingsMax * (3 * kRuleNameMax + 16) < kFrameMax);
static_assert(kKeyChangesMax * (kTextMax + 24) < kFrameMax);
static_assert(kPieceMax <= kUpdateMax && kUpdateMax < kFrameMax);
static_assert(kInlineBodyMax <= kPieceMax);
static_assert(kChunkMax + kKiB < kFrameMax && kWriteMax + kKiB < kFrameMax);
static_assert(kRowsMax + kTextMax + kKiB < kFrameMax);
static_assert(kSnapshotWindow / kChunkMax >= 4);

// Broker.
inline constexpr std::size_t kGroupMax = 512;               // writes in one commit
inline constexpr std::size_t kPeersMax = 2000;              // greeted peers
inline constexpr std::size_t kWaitingWritesMax = 20000;     // writes not yet given to the ledger
inline constexpr std::size_t kWaitingBytesMax = 64 * kMiB;  // their size
inline constexpr std::size_t kHeldPeerBytesMax = 4 * kMiB;  // answers a full pipe has no room for
inline constexpr std::size_t kHeldBytesMax = 64 * kMiB;     // the same, of all peers
inline constexpr std::size_t kPeerJobsMax = 64;             // reader jobs of one peer in flight
inline constexpr std::size_t kDrainMax = 200;               // frames of one socket in one turn
inline constexpr std::size_t kAnswersTurn = 16;  // of the stores in one turn; each may be a chunk
inline constexpr std::size_t kCaptureMemory = 4 * kMiB;  // changes kept in memory before the spill
inline constexpr std::uint64_t kMaxChangesDefault = 1024 * kMiB;  // changes of one transaction
inline constexpr std::uint64_t kLogKeepDefault = 256 * kMiB;
inline constexpr std::uint64_t kLeasedLogFactor = 4;  // times the log to keep, for who catches up
inline constexpr std::size_t kSnapshotsMax = 2;       // spools kept at once
inline constexpr std::size_t kGroupBytesMax = 16 * kMiB;  // size of the writes in one commit
inline constexpr std::size_t kReaderJobsMax = 8192;       // reader jobs of all peers in flight
inline constexpr std::size_t kStrangersMax = 4096;        // peers remembered without a WELCOME
inline constexpr std::size_t kWritersMax = 10000;         // NodeIds with outcomes
inline constexpr std::uint64_t kOutcomesMax = 1U << 20U;  // of one NodeId: counters that they span
inline constexpr std::uint64_t kCounterMax = std::uint64_t{1} << 42U;  // of a TxId
// Above it the counter of those who were forgotten leaves too few to all others: see protocol.md.
inline constexpr std::uint64_t kForgottenMax = kCounterMax / 2;
// A replica that an older csa has let come further goes on under a new NodeId, and lower.
inline constexpr std::uint64_t kOwnCounterMax = kForgottenMax + kForgottenMax / 2;
inline constexpr std::size_t kShownTextMax = 64;  // a peer's words inside our own sentences
inline constexpr std::size_t kConnectionsMax = 4 * kPeersMax;  // TCP, of both ports
inline constexpr std::size_t kConnectionsMin = 16;             // however few files may be open
inline constexpr std::size_t kFilesReserved = 128;             // open files that are no connections
static_assert(kConnectionsMax >= 2 * kPeersMax);               // a peer has two
static_assert(kGroupMax <= kWaitingWritesMax);
static_assert(kPeersMax < kWritersMax);  // who is connected is never forgotten
static_assert(kWriteMax <= kGroupBytesMax && kGroupBytesMax <= kWaitingBytesMax);
static_assert(kSnapshotWindow / kChunkMax <= kPeerJobsMax && kPeerJobsMax <= kReaderJobsMax);
// One line of `csa-admin nodes`, every byte escaped, times all peers fits one frame.
static_assert(kPeersMax * (std::size_t{3} * 6 * kShownTextMax + 512) < kFrameMax);

// Node.
inline constexpr std::size_t kStreamBufferMax = 16 * kMiB;        // UPDATEs kept while catching up
inline constexpr std::size_t kNodeWritesMax = 10000;              // writes without an outcome
inline constexpr std::size_t kNodeTasksMax = 2 * kNodeWritesMax;  // calls not yet taken up
inline constexpr std::uint64_t kCounterBlock = 1000;    // TxId counters reserved by one commit
inline constexpr std::size_t kReplayWindow = 1 * kMiB;  // journal bytes sent, not yet answered
inline constexpr std::size_t kReplayEntriesMax = 256;   // and entries

// Time.
using std::chrono::milliseconds;
using std::chrono::seconds;
inline constexpr milliseconds kHeartbeat = seconds{10};
inline constexpr milliseconds kNodeTimeout = seconds{30};
inline constexpr milliseconds kHeadInterval = seconds{1};
inline constexpr milliseconds kHeadAfterBurst{50};
inline constexpr milliseconds kSubSilence{3500};  // no HEAD for so long: rebuild the links
inline constexpr milliseconds kProofTimeout{3000};
inline constexpr milliseconds kHelloTimeout{3000};
inline constexpr milliseconds kStatementTimeout = seconds{30};
inline constexpr milliseconds kPollMax{50};  // libzmq works only inside its calls
inline constexpr milliseconds kRetryMin{100};
inline constexpr milliseconds kRetryMax{5000};
inline constexpr milliseconds kGapJitterMax{200};
inline constexpr milliseconds kLogRetry{5000};  // LOG_GET or SNAPSHOT_GET without an answer
inline constexpr milliseconds kSnapshotLife = seconds{60};   // a spool without a reader
inline constexpr milliseconds kLeaseLife = seconds{60};      // of the log, without progress
inline constexpr milliseconds kInstallLease = seconds{600};  // while a fetched copy is installed
inline constexpr milliseconds kLeaseMemory = seconds{600};   // of one who stands still
inline constexpr milliseconds kClaimTimeout{1000};     // for a sign of life of a NodeId's holder
inline constexpr milliseconds kRehelloInterval{1000};  // between two REHELLO to one peer
inline constexpr milliseconds kComplaintInterval = seconds{60};  // between two log lines about one
inline constexpr milliseconds kStrangerGrace{3500};  // for a new connection to say who it is
inline constexpr milliseconds kBeaconInterval = seconds{1};
static_assert(kNodeTimeout >= 2 * kHeartbeat);
static_assert(kLeaseLife >= kSnapshotLife && kLeaseLife > 2 * kLogRetry);
static_assert(kSubSilence > 2 * kHeadInterval);

}  // namespace csa::limits
