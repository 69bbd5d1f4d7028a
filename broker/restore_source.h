// Files that restore takes from, or replaces, read with doubt: a disk may keep them wrongly.
#pragma once

#include <cstdint>
#include <string>

#include "broker/opening.h"
#include "common/sqlite.h"
#include "common/store_meta.h"

namespace csa {

// Proves that the copy is sound and of this application and group; its meta then. `from` names the
// file in errors, which say what to do.
[[nodiscard]] Result<Meta> sound_meta(const Database& db, const DatabaseName& name,
                                      const std::string& from);
// The last generation of csa_meta and csa_epoch, as far as they can be read; 0: of none.
[[nodiscard]] std::uint64_t highest_generation(const Database& db);
// Of the file that is to be replaced, or was about to be.
[[nodiscard]] std::uint64_t generation_in(const std::string& present);

}  // namespace csa
