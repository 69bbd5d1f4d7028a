// Read-only side of the master for everybody who is not the ledger: log ranges, layouts, outcomes,
// full copies. One Archive a reader thread, with a connection of its own that never writes to and
// never checkpoints the master. Disk errors are thrown.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <variant>

#include "broker/jobs.h"
#include "broker/spool.h"
#include "common/log.h"
#include "common/message.h"
#include "common/result.h"

namespace csa {

// Where a reader at `after` goes on: by the log's tail, or only by a full copy. The one place that
// decides it; `reason` is for logs and LOG_GONE.
struct CatchUp {
  bool tail = false;
  std::string reason;
};
struct LogState {
  Position head;
  Seq floor;
  std::optional<Chain> chain_at;  // chain of the entry at after.seq, if the log holds it
};
[[nodiscard]] CatchUp catch_up(const Position& after, const LogState& log);

class Archive {
 public:
  // `spool_directory`: where copies are kept while they are handed out; files there are unlinked
  // when dropped, and leftovers of a dead broker are removed by clear_spool().
  Archive(const std::string& path, std::string spool_directory, const Log& log);
  ~Archive();
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  // Entries after request.after, none beyond `through`.
  [[nodiscard]] std::variant<LogSlice, LogGone> read_log(const LogGet& request,
                                                         const Position& through);
  [[nodiscard]] LayoutReply layout(std::uint64_t schema_version);
  [[nodiscard]] std::variant<Ack, Nack> outcome(const TxId& tx);
  [[nodiscard]] std::uint64_t last_counter(const NodeId& node);

  // Cuts a copy of the present state into the spool; csa_private is empty in it. Takes as long as
  // copying the database; writers go on.
  [[nodiscard]] Result<SnapshotInfo> cut();
  // Of the copy, or of its page map. nullopt: no such copy. Fewer bytes only at the end.
  [[nodiscard]] std::optional<Bytes> read_chunk(const Id128& snapshot, bool map,
                                                std::uint64_t offset, std::size_t length);
  void drop(const Id128& snapshot);
  // A copy moves from the archive that cut it to the one that hands it out, in another thread.
  // REQUIRES: this archive holds it.
  [[nodiscard]] Spool release(const Id128& snapshot);
  void keep(Spool spool);
  static void clear_spool(const std::string& spool_directory);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
