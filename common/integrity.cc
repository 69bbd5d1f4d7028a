#include "common/integrity.h"

#include <sys/stat.h>

#include <map>
#include <optional>

#include "common/wal_index.h"

namespace csa {
namespace {

// More than any file has.
constexpr const char* kAll = "(2147483647)";

// Whether lines of "NULL value in TABLE.COLUMN" are true, by that name.
class NullClaims {
 public:
  explicit NullClaims(const Database& db)
      : db_(db),
        columns_(db.prepare("SELECT s.name, c.name FROM main.sqlite_schema s JOIN"
                            " pragma_table_xinfo(s.name, 'main') c WHERE s.type = 'table' AND"
                            " s.name || '.' || c.name = ?1")) {}

  [[nodiscard]] bool holds(const std::string& place) {
    const auto [known, fresh] = known_.try_emplace(place, true);
    if (fresh) known->second = is_true(place);
    return known->second;
  }

 private:
  // Of a name with a dot several tables may be meant.
  [[nodiscard]] bool is_true(const std::string& place) {
    columns_.bind(1, place);
    bool told = false;
    bool null = false;
    while (columns_.step()) {
      told = true;
      // "IS NULL" of such a column is taken for false and not looked at.
      null = null || db_.query_int("SELECT 1 FROM main." + quote(columns_.column_text(0)) +
                                   " NOT INDEXED WHERE typeof(" + quote(columns_.column_text(1)) +
                                   ") = 'null' LIMIT 1");
    }
    columns_.reset();
    return null || !told;
  }

  const Database& db_;
  Statement columns_;
  std::map<std::string, bool> known_;
};

}  // namespace

std::vector<std::string> integrity_faults(const Database& db, IntegrityCheck kind,
                                          std::size_t lines_max) {
  constexpr std::string_view kNull = "NULL value in ";
  const std::string name = kind == IntegrityCheck::kQuick ? "quick_check" : "integrity_check";
  std::vector<std::string> faults;
  Statement check = db.prepare("PRAGMA main." + name + kAll);
  std::optional<NullClaims> claims;
  while (faults.size() < lines_max && check.step()) {
    std::string line = check.column_text(0);
    if (line == "ok") continue;
    if (line.starts_with(kNull)) {
      if (!claims) claims.emplace(db);
      if (!claims->holds(line.substr(kNull.size()))) continue;
    }
    faults.push_back(std::move(line));
  }
  return faults;
}

bool ends_as_it_says(const Database& db, const std::string& path) {
  const std::int64_t pages = db.query_int("PRAGMA main.page_count").value_or(0);
  // In another mode asking for the index of the -wal would make one.
  if (db.query_text("PRAGMA main.journal_mode") == "wal") {
    const std::optional<WalIndex> index = look_at_wal_index(db);
    if (index && index->last_frame != 0) return pages == index->pages;
  }
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return true;
  return about.st_size <= pages * db.query_int("PRAGMA main.page_size").value_or(0);
}

}  // namespace csa
