// Which tables of the log csa-sub prints: those that were asked for, as the layout in force has
// them, and what is to be said of a name that it does not have. Names are compared as SQLite does.
// Pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/schema.h"

namespace csa {

class TailTables {
 public:
  explicit TailTables(const std::set<std::string>& wanted);

  // None was named: all are wanted.
  [[nodiscard]] bool all() const { return wanted_.empty(); }
  // One that was named, or that holds the rows of a full-text table or an R*Tree that was.
  [[nodiscard]] bool named(std::string_view table) const;
  // From here on.
  void enter(std::uint64_t version, const Layout& layout);
  // Sentences for people.
  [[nodiscard]] std::vector<std::string> take_notices();

 private:
  struct Wanted {
    std::string typed;
    bool here = false;  // in the layout in force
    bool told = false;  // that it is not
  };
  std::map<std::string, Wanted> wanted_;  // by the name in lower case
  std::set<std::string> shown_;           // in lower case
  std::vector<std::string> notices_;
};

}  // namespace csa
