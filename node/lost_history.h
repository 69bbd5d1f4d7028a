// Transactions that the master has lost and this replica's log still holds: made into entries of
// the journal, which offers them to the master (JournalHeader::lost). Plain calls for
// node/replica.cc; SqliteError: the disk.
#pragma once

#include <cstdint>
#include <string>

#include "common/result.h"
#include "common/sqlite.h"
#include "common/types.h"

namespace csa {

struct LostHistory {
  std::string kept;  // the file that the replica is kept in
  Seq common;        // the last entry that the master has
};

struct LostOffer {
  std::uint64_t entries = 0;  // offered
  std::uint64_t left = 0;     // older ones that can only be looked up in the kept file
  std::string why_left;       // a sentence's half; empty: none is left
  std::uint64_t inbox = 0;    // open rows of the lost history's inbox, which nobody offers
};

// The newest lost transactions, in their order, into the journal of `copy`, which is about to
// become the replica: full rows before and after, found by going back in the kept file and forward
// again (its content stays as it is). An insert of the number that SQLite would have chosen counts
// as chosen by it. At most kOfferedMax entries and kOfferedBytes of the log; none from before a
// change of the schema. kDamaged: the kept file's log does not fit its content; `copy` is as it
// was. REQUIRES: `copy` is prepared (install.h), nobody else has it open.
[[nodiscard]] Result<LostOffer> offer_lost(const LostHistory& lost, const std::string& copy);
inline constexpr std::uint64_t kOfferedMax = 10000;
inline constexpr std::uint64_t kOfferedBytes = std::uint64_t{64} << 20U;

}  // namespace csa
