// The rules of merging on their way through one migration, which is judged as a whole: they follow
// the table or column that they speak of when it is renamed; where a new one takes its name, or it
// is dropped and another gets its name, they are that one's (a table is rebuilt under another name,
// say); what has none of them at the end has no rules. Belongs to the ledger's thread; throws
// SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/stored_rules.h"
#include "common/sqlite.h"

namespace csa {

class FollowedRules {
 public:
  // Of the schema before the migration. `db` must outlive this.
  explicit FollowedRules(const Database& db);
  // After each single statement that changed the schema, so that what it renamed can be told for
  // certain.
  void look();
  // Brings csa_rule to the schema after the migration; a sentence for each rule that is another one
  // now, or none. REQUIRES: a transaction is open.
  [[nodiscard]] std::vector<std::string> settle();

 private:
  // Things that keep their number while their name changes.
  class Names {
   public:
    void take(std::map<std::int64_t, std::string> now);
    void are_old();  // those of now were there before the migration
    [[nodiscard]] bool is_old(std::int64_t number) const { return old_.contains(number); }
    [[nodiscard]] const std::map<std::int64_t, std::string>& now() const { return now_; }
    [[nodiscard]] std::optional<std::int64_t> find(const std::string& name) const;
    // What a rule speaks of that was made for `name` and has spoken of `number`.
    [[nodiscard]] std::optional<std::int64_t> follow(std::optional<std::int64_t> number,
                                                     const std::string& name) const;

   private:
    std::map<std::int64_t, std::string> now_;
    std::map<std::string, std::int64_t> numbers_;  // by name in lower case
    std::set<std::int64_t> old_;
  };
  struct Columns {
    Names names;
    std::vector<std::int64_t> order;
    std::int64_t last = 0;
    void take(const std::vector<std::string>& now);
  };
  struct Rule {
    RuleSetting was;
    std::string column;                       // its last name
    std::optional<std::int64_t> table;        // nothing: there is none at the moment
    std::optional<std::int64_t> number = {};  // of the column
    bool by_name = false;  // it speaks of another old one, which has got the name
  };
  void follow(Rule& rule, std::set<std::int64_t>& seen);
  [[nodiscard]] const Names& columns_of(std::int64_t table, std::set<std::int64_t>& seen);
  // Nothing: neither table nor column is there.
  [[nodiscard]] std::optional<RuleSetting> name_of(const Rule& rule) const;

  const Database& db_;
  const StoredRules before_;
  Names tables_;                             // by rowid in sqlite_schema
  std::map<std::int64_t, Columns> columns_;  // of tables that column rules speak of
  std::vector<Rule> rules_;
};

}  // namespace csa
