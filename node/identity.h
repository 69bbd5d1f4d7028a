// What belongs to one replica alone, in csa_private: who it is, which counters it may have used,
// what it has seen. Plain values and the calls that read and write them (SqliteError: the disk).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/clock_anchor.h"
#include "common/result.h"
#include "common/sqlite.h"
#include "common/types.h"

namespace csa {

struct Identity {
  NodeId node;
  std::string app;
  std::string group;
  std::optional<DbId> db;             // of the database that it follows; nothing: no copy yet
  std::uint64_t counter = 0;          // TxId counters up to here may have been used
  std::uint64_t generation_seen = 0;  // highest generation ever followed; never goes down
  std::string endpoint;               // where the last WELCOME came from; empty: nowhere yet
  std::optional<ClockAnchor> clock;   // the last measurement of broker's time
  std::string damage;   // why the content must not be built upon, a sentence; empty: it may
  bool mended = false;  // as read: a bit of the file was wrong, and is as it was here
};

// nullopt: the file is no replica (its csa_private says so or says nothing). kDamaged: rows that
// csa cannot have written, or not what it has written.
[[nodiscard]] Result<std::optional<Identity>> read_identity(const Database& db);
// Replaces all of csa_private. REQUIRES: a transaction is open, csa's tables exist.
void write_identity(const Database& db, const Identity& identity);

}  // namespace csa
