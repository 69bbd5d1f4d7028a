// One row change as a line: a JSON object, or columns for people. Pure.
#pragma once

#include <string>

#include "common/message.h"
#include "common/named_change.h"

namespace csa {

[[nodiscard]] std::string json_line(const EntryHeader& header, const NamedChange& change);
[[nodiscard]] std::string people_line(const EntryHeader& header, const NamedChange& change,
                                      bool colour);
// A row of the inbox (csa_conflicts) that was made or settled, an offer of what the master has lost
// (csa_lost): lines of their own kind, with what a reader has use for.
[[nodiscard]] std::string conflict_line(const EntryHeader& header, const NamedChange& change,
                                        bool json, bool colour);
[[nodiscard]] std::string lost_line(const EntryHeader& header, const NamedChange& change, bool json,
                                    bool colour);
[[nodiscard]] std::string schema_line(const EntryHeader& header, const std::string& sql, bool json,
                                      bool colour);
[[nodiscard]] std::string presence_line(const Presence& presence, bool json, bool colour);

}  // namespace csa
