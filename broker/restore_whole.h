// A transaction that the inbox has kept whole, with the later ones of its journal that touch its
// rows, made after all: all of it or nothing. Belongs to the ledger's thread; throws SqliteError.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "broker/kept_conflict.h"
#include "broker/merge.h"
#include "broker/merge_virtual.h"
#include "broker/restore_row.h"

namespace csa {

struct RestoredWhole {
  std::vector<std::int64_t> ids;  // of the inbox, ascending
  std::int64_t rows = 0;          // of the application that were written
  std::vector<KeyChange> keys;    // numbers that are others than the inbox told
};

// Or why it does not fit. It is written as a journal's entry of the kept rows from base to node, so
// that numbers and references follow; nothing of others is overwritten. REQUIRES: as Merge::run().
[[nodiscard]] std::variant<RestoredWhole, std::string> restore_whole(
    const RestorePlace& place, const KeptConflict& conflict, const std::string& spill_folder,
    const MergeContext& context, Merge& merge);

}  // namespace csa
