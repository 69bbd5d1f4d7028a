// Which of the master's transactions an atomic one would overwrite, and whether each of them whole:
// one of which only a part would be lost stays, and the atomic one loses. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "broker/merge_row.h"
#include "broker/row_history.h"
#include "common/types.h"

namespace csa {

class Overwritten {
 public:
  // What became of one row that others may have touched; each row once. In columns that add up
  // nobody loses: what others added stands, and is no part that would be left over.
  void add(const RowRules& rules, const RowVerdict& verdict, const RowEdits& edits);
  // Why it cannot be, a sentence; nothing: each one is overwritten whole, or not at all.
  // `touches_of`: how many touches of rows a transaction consists of.
  [[nodiscard]] std::optional<std::string> torn(
      const std::function<std::uint64_t(Seq)>& touches_of) const;

 private:
  struct Entry {
    bool lost = false;          // something of it
    std::uint64_t covered = 0;  // touches of which nothing would stay
  };
  std::map<Seq, Entry> entries_;
  bool untold_ = false;  // others' edits are lost that the log does not tell any more
};

}  // namespace csa
