// How much of the log the ledger keeps: for nodes that come back, and of earlier epochs for merges;
// and how much of the WAL, where a reader lets it go.
#include <algorithm>
#include <limits>

#include "broker/ledger_impl.h"
#include "common/limits.h"

namespace csa {

std::uint64_t Ledger::Impl::leased_keep() const {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  return options.log_keep > kMost / limits::kLeasedLogFactor
             ? kMost
             : options.log_keep * limits::kLeasedLogFactor;
}

bool Ledger::Impl::has_old_entries() const {
  const Seq head = meta.position.seq;
  const Seq kept = past->floor(meta);
  return entries->has_before(kept) ||
         (entries->bytes() > options.log_keep && kept < std::min(head, leased)) ||
         (entries->bytes() > leased_keep() && kept < head);
}

// What nobody reads goes beyond the bound of the log, what is leased only beyond that of leases.
void Ledger::Impl::prune(Meta& now, std::size_t parts_max) {
  const Seq head = now.position.seq;
  Seq kept = past->floor(now);
  kept = entries->prune(kept, std::min(head, leased), options.log_keep, parts_max);
  kept = entries->prune(kept, head, leased_keep(), parts_max);
  now.floor = std::max(now.floor, kept);
}

void Ledger::Impl::checkpoint() {
  wal->checkpoint();
  if (!held_back.is_news(wal->pages())) return;
  log.warn("ledger: " + std::to_string(wal->pages()) +
           " pages wait in the database's -wal file, which grows: a program on this computer has "
           "been reading the database in one transaction all the time. Writes go on; end that "
           "transaction, or the program, before the disk is full");
}

}  // namespace csa
