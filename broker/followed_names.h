// Tables and columns on their way through one migration, by numbers that they keep while their
// names change: after each statement that changed the schema it is looked what that has renamed.
// Belongs to the ledger's thread; throws SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/schema.h"
#include "common/sqlite.h"

namespace csa {

class FollowedNames {
 public:
  // Things that keep their number while their name changes.
  class Names {
   public:
    void take(std::map<std::int64_t, std::string> now);
    void are_old();  // those of now were there before the migration
    [[nodiscard]] bool is_old(std::int64_t number) const { return old_.contains(number); }
    [[nodiscard]] const std::map<std::int64_t, std::string>& now() const { return now_; }
    [[nodiscard]] std::optional<std::int64_t> find(const std::string& name) const;
    // What somebody speaks of who meant `name` at first and has spoken of `number`.
    [[nodiscard]] std::optional<std::int64_t> follow(std::optional<std::int64_t> number,
                                                     const std::string& name) const;
    // Its name before the migration, where that was another one; else empty.
    [[nodiscard]] std::string was(std::int64_t number) const;

   private:
    std::map<std::int64_t, std::string> now_;
    std::map<std::string, std::int64_t> numbers_;  // by name in lower case
    std::map<std::int64_t, std::string> old_;      // their names before
  };

  // Of the schema before the migration. `db` must outlive this.
  explicit FollowedNames(const Database& db);
  // After each single statement that changed the schema, so that what it renamed can be told for
  // certain.
  void look();
  [[nodiscard]] const Names& tables() const { return tables_; }
  // REQUIRES: the table is there.
  [[nodiscard]] const Names& columns(std::int64_t table) const;
  // Of what is there now and was there before. What is new goes by its name.
  [[nodiscard]] Renames renames() const;

 private:
  struct Columns {
    std::string sql;  // of the table, when they were read
    Names names;
    std::vector<std::int64_t> order;
    std::int64_t last = 0;
    void take(const std::vector<std::string>& now);
  };

  const Database& db_;
  Names tables_;  // by rowid in sqlite_schema
  std::map<std::int64_t, Columns> columns_;
};

}  // namespace csa
