// A replica whose journal is damaged becomes the master all the same: with its tables as they
// stand. For restore(); throws SqliteError.
#pragma once

#include <cstdint>
#include <string>

#include "broker/opening.h"
#include "common/sqlite.h"
#include "common/store_meta.h"

namespace csa {

// Whole transactions of the former master behind `meta` that the replica had fetched.
[[nodiscard]] std::uint64_t count_spooled(const Database& db, const Meta& meta);

// What cannot be undone stays: all offline changes are in the tables, and each that can still be
// named has the outcome "applied", so that it counts once whoever hands it over. Of what `undone`
// says was undone nothing of that. What remains in the journal is sound, for merge_own_journal().
[[nodiscard]] AsIs take_as_is(const Database& db, const Meta& meta, const Status& undone);

}  // namespace csa
