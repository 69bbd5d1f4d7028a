// The rules of merging on their way through one migration, which is judged as a whole: they follow
// the table or column that they speak of when it is renamed; where a new one takes its name, or it
// is dropped and another gets its name, they are that one's (a table is rebuilt under another name,
// say); what has none of them at the end has no rules. Belongs to the ledger's thread; throws
// SqliteError.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/followed_names.h"
#include "broker/stored_rules.h"
#include "common/sqlite.h"

namespace csa {

class FollowedRules {
 public:
  // Before the migration. Both must outlive this.
  FollowedRules(const Database& db, const FollowedNames& names);
  // After `names` has looked.
  void look();
  // Brings csa_rule to the schema after the migration; a sentence for each rule that is another one
  // now, or none. REQUIRES: a transaction is open.
  [[nodiscard]] std::vector<std::string> settle();

 private:
  struct Rule {
    RuleSetting was;
    std::string column;                       // its last name
    std::optional<std::int64_t> table;        // nothing: there is none at the moment
    std::optional<std::int64_t> number = {};  // of the column
    bool by_name = false;  // it speaks of another old one, which has got the name
  };
  void follow(Rule& rule);
  // Nothing: neither table nor column is there.
  [[nodiscard]] std::optional<RuleSetting> name_of(const Rule& rule) const;

  const Database& db_;
  const FollowedNames& names_;
  const StoredRules before_;
  std::vector<Rule> rules_;
};

}  // namespace csa
