// Random schemas and random writes on them, the same for the same seed: key shapes, types,
// generated columns, triggers, foreign keys, full-text and spatial tables. Values come from small
// sets, so that keys collide and constraints fail.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace csa::test {

struct RandomColumn {
  std::string name;
  std::string type;  // as declared, with its collation
  bool generated = false;
};

struct RandomTable {
  std::string name;
  std::vector<RandomColumn> columns;
  std::vector<std::string> key;  // columns of the primary key
  bool strict = false;
};

class RandomSchema {
 public:
  explicit RandomSchema(std::uint64_t seed);

  // Statements that make the schema, with first rows and columns added behind them.
  [[nodiscard]] const std::string& sql() const { return sql_; }
  // The statements of one write; some of them fail.
  [[nodiscard]] std::vector<std::string> write();

 private:
  std::uint64_t below(std::uint64_t count) { return random_() % count; }
  bool chance(unsigned percent) { return below(100) < percent; }
  template <class T>
  const T& pick(const std::vector<T>& items) {
    return items[below(items.size())];
  }

  void add_table(const std::string& name);
  std::string column_sql(RandomTable& table, std::size_t number);
  std::string key_sql(RandomTable& table, std::string& suffix);
  void add_extras(const RandomTable& table);
  std::string literal(const RandomTable& table, const RandomColumn& column);
  std::string insert(const RandomTable& table);
  std::string update(const RandomTable& table);
  std::string where(const RandomTable& table);
  std::string special();
  std::vector<RandomColumn> writable(const RandomTable& table) const;

  bool filling_ = false;  // the first rows, which must not fail
  std::mt19937_64 random_;
  std::string sql_;
  std::vector<RandomTable> tables_;
};

}  // namespace csa::test
