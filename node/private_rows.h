// All of a replica's csa_private: keys and values, proved by a sum that is one of its rows.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "common/sqlite.h"

namespace csa {

class PrivateRows {
 public:
  // A file that no replica has written, or one of an older csa, has no sum: its rows are taken as
  // they are. kDamaged: they are not what was written, in more than a bit, or more than csa writes.
  [[nodiscard]] static Result<PrivateRows> read(const Database& db);
  // One bit of them was another than was written, and is as it was here: write() keeps it so.
  [[nodiscard]] bool mended() const { return mended_; }

  [[nodiscard]] std::optional<std::string> find(std::string_view key) const;
  // REQUIRES: the key is new.
  void add(std::string_view key, std::string_view value);
  // Replaces what csa_private holds. REQUIRES: a transaction is open, csa's tables exist.
  void write(const Database& db) const;

 private:
  struct Row {
    std::string key;
    std::string value;
  };

  [[nodiscard]] std::string sum() const;
  [[nodiscard]] bool are_sound() const { return find(kSum) == sum(); }
  [[nodiscard]] bool mend();

  static constexpr std::string_view kSum = "sum";

  std::vector<Row> rows_;  // as they lie in the table
  bool mended_ = false;
};

}  // namespace csa
