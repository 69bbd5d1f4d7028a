// Where the tables and columns of one schema version are in another, by csa_layout: those that were
// renamed under their present names, all others by their own. Belongs to the ledger's thread;
// throws SqliteError.
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
  // nullptr: one of the two versions, or the table in it, is not known, or the name was another
  // table's then. Valid until forget().
  [[nodiscard]] const Places* find(const std::string& table, std::uint64_t then, std::uint64_t now);

  // A table now, as it was called then; what was not there then is what had its name. In lower
  // case.
  struct Origin {
    std::string table;
    std::vector<std::string> columns;  // by carried column now; empty: none
  };
  // Nothing: `now` has no such table, or `then` none that it could be.
  [[nodiscard]] std::optional<Origin> origin(const std::string& table, std::uint64_t then,
                                             std::uint64_t now);
  // What the table of then is called now; empty: nothing.
  [[nodiscard]] std::string name_now(const std::string& table, std::uint64_t then,
                                     std::uint64_t now);
  // nullptr: not known. Valid until forget().
  [[nodiscard]] const TableLayout* layout(const std::string& table, std::uint64_t version);
  void forget();

 private:
  using Tables = std::map<std::string, TableLayout>;  // by name in lower case
  [[nodiscard]] const Tables& tables(std::uint64_t version);

  const Database& db_;
  std::map<std::uint64_t, Tables> tables_;
  std::map<std::tuple<std::string, std::uint64_t, std::uint64_t>, std::optional<Places>> places_;
};

// By column of `then`: the one of `now` that it is, if any.
[[nodiscard]] std::vector<std::optional<std::size_t>> places_in(const ColumnPlaces::Origin& origin,
                                                                const TableLayout& then,
                                                                const TableLayout& now);

}  // namespace csa
