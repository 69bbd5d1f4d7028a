// Tables that virtual tables keep their contents in, by what an index of edits makes of their rows.
// Belongs to the ledger's thread; throws SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "common/sqlite.h"

namespace csa {

class ShadowTables {
 public:
  explicit ShadowTables(const Database& db) : db_(db) {}  // which must outlive this

  enum class Kind : std::uint8_t {
    kNone,     // an ordinary table
    kRows,     // its rows are the virtual table's, or cannot be told apart from these
    kDerived,  // they follow from the virtual table's rows, so that nobody edits them
  };
  // By the schema as it is.
  [[nodiscard]] Kind kind(const std::string& table);
  // The schema may have changed.
  void clear() { kinds_.clear(); }

 private:
  const Database& db_;
  std::map<std::string, Kind> kinds_;
};

}  // namespace csa
