// The changes that a file's own log tells between two Positions, one after the other. For stores'
// readers, inside a read transaction. Throws SqliteError.
#pragma once

#include <functional>
#include <vector>

#include "common/changeset.h"
#include "common/result.h"
#include "common/store_meta.h"

namespace csa {

// Of the entries after `after` up to `through`, which must lie in the log from `floor` on. Errors:
// kRejected: one of them changes the schema, or cannot be repeated; kNothing: the log lacks one;
// kDamaged: one does not decode.
[[nodiscard]] Status each_logged_change(
    const Database& db, Seq floor, Seq after, Seq through,
    const std::function<void(const Change&, const std::vector<ChangeTable>&)>& take);

}  // namespace csa
