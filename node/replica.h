// A node's copy of the master, its one write connection: applies the log in order, installs full
// copies, keeps the node's identity. Synchronous; belongs to one thread (the store thread). The
// application's reads go through connections of their own. Disk errors are thrown; what the
// broker's bytes can cause is a Status.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/log.h"
#include "common/message.h"
#include "common/result.h"
#include "node/jobs.h"

namespace csa {

// Whether a replica is known to have been at a path before.
enum class Earlier : std::uint8_t { kUnknown, kThere };

class Replica {
 public:
  // Opens or begins the replica at `path`. Errors: kDamaged (the file is kept; the sentence says
  // how to go on; an empty file, too, where there was a replica before), kRefused (not a replica:
  // somebody's own database), of another app or group.
  [[nodiscard]] static Result<std::unique_ptr<Replica>> open(const std::string& path,
                                                             const std::string& app,
                                                             const std::string& group,
                                                             const Log& log,
                                                             Earlier earlier = Earlier::kUnknown);
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  [[nodiscard]] const ReplicaState& state() const;
  [[nodiscard]] const std::string& path() const;

  // Stores and applies pieces in stream order: everything complete in one local transaction
  // together with the Position, parts of an unfinished entry as they come. Error kDamaged: they do
  // not fit (chain, old values, schema): nothing was applied; take a full copy.
  [[nodiscard]] Result<Applied> apply(const std::vector<LogPiece>& pieces);
  // The broker's log begins at `floor` now: older entries are let go here too, by housekeeping()
  // where the disk fails.
  void trim(Seq floor);

  // Standalone: the call's statements on this replica, triggers and foreign keys on, under the
  // authorizer and limits of the broker, and its entry in the journal: one synced transaction.
  // Error: the replica cannot take it (no copy yet, another program wrote to it).
  [[nodiscard]] Result<OfflineDone> write_offline(const OfflineWrite& write);
  // Entries of the journal to send; see Journal::read.
  [[nodiscard]] Result<std::vector<Replay>> read_journal(std::uint64_t after, std::uint64_t offset,
                                                         std::size_t max_bytes);
  // Outcomes, in one synced transaction.
  void mark_answered(const std::vector<Replayed>& answers);
  // The master may not have the outcomes (any more): all entries wait again, or the last answered
  // one, which proves those before it.
  void unmark_journal(bool all);
  // While there is a journal: stores pieces in stream order behind the Position without applying
  // them. Error as apply(). After a restart what was spooled is gone.
  [[nodiscard]] Status spool(const std::vector<LogPiece>& pieces);
  // One transaction: undoes the journal, applies what is spooled, sets the Position, empties the
  // journal. REQUIRES: every entry is answered. kDamaged: it does not fit; nothing changed, the
  // journal is kept as a table of outcomes only once a full copy is installed.
  [[nodiscard]] Result<Applied> take_over();

  // A download. True: pages of it may be here, in the replica or from an earlier download; then
  // plan_copy() takes its page map, piece by piece in order, puts these pages where they belong,
  // and says what is missing. False: all of it is. page_size 0: there is no map, so all is missing.
  [[nodiscard]] bool begin_download(const Id128& snapshot, std::uint64_t total,
                                    std::uint32_t page_size);
  [[nodiscard]] CopyPlan plan_copy(std::uint64_t first_page, ByteView hashes);
  void write_chunk(std::uint64_t offset, ByteView bytes);
  // Proves the hash, writes the private values into the copy, swaps it in: readers see the old
  // state or the new one. What that history does not have is kept aside first. kDamaged: hash or
  // content is wrong; the download is thrown away.
  [[nodiscard]] Result<Applied> install(const SnapshotEnd& end);
  void drop_download();

  // Counters up to the result are reserved, synced.
  [[nodiscard]] std::uint64_t reserve_counters();
  // The identity is in use elsewhere or its counters were lost: a new one.
  void renew_identity(std::uint64_t above = 0);
  // An endpoint where a WELCOME came from, for the next start.
  void remember_endpoint(const std::string& endpoint);
  [[nodiscard]] std::optional<std::string> last_endpoint() const;
  // The last measurement of broker's time, for edits without a link; see ReplicaState::clock.
  void remember_clock(const ClockAnchor& anchor);
  // Checkpoint, bounded work; call when idle.
  void housekeeping();
  void close();

 private:
  struct Impl;
  explicit Replica(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
