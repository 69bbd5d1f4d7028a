// Where the columns of a table of another schema version are now, by their names (csa_layout).
// Belongs to the ledger's thread; throws SqliteError.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "common/schema.h"
#include "common/sqlite.h"

namespace csa {

class ColumnPlaces {
 public:
  explicit ColumnPlaces(const Database& db) : db_(db) {}  // must outlive this

  struct Places {
    std::vector<std::optional<std::size_t>> to;  // by carried column then: the one now, if any
    std::size_t count = 0;                       // of columns now
    // Those of then are the first ones of now.
    [[nodiscard]] bool is_begin() const;
  };
  // nullptr: one of the two versions, or the table in it, is not known. Valid until forget().
  [[nodiscard]] const Places* find(const std::string& table, std::uint64_t then, std::uint64_t now);
  void forget();

 private:
  using Names = std::map<std::string, std::vector<std::string>>;  // in lower case
  [[nodiscard]] const Names& names(std::uint64_t version);

  const Database& db_;
  std::map<std::uint64_t, Names> names_;
  std::map<std::tuple<std::string, std::uint64_t, std::uint64_t>, std::optional<Places>> places_;
};

}  // namespace csa
