// The two shapes of a table, the journal's and the master's, in words: why an edit does not fit.
#pragma once

#include <string>
#include <vector>

#include "broker/merge_table.h"
#include "common/changeset.h"

namespace csa {

// Its name and columns.
[[nodiscard]] std::string shape_of(const ChangeTable& table,
                                   const std::vector<std::string>& columns);
[[nodiscard]] std::string both_shapes(const ChangeTable& journal, const MergeTable& master);
// Before the shapes, by what either tells its rows apart.
[[nodiscard]] std::string both_keys(const ChangeTable& journal, const MergeTable& master);

}  // namespace csa
