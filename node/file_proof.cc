#include "node/file_proof.h"

#include <vector>

#include "common/integrity.h"
#include "common/past_log.h"
#include "common/store_meta.h"

namespace csa {
namespace {

constexpr std::size_t kLinesMax = 1000;

// "NULL value in t.a", "CHECK constraint failed in t": the master's rows are so too. Csa's own are
// not.
bool is_about_rows(const std::string& line) {
  if (line.find(" in csa_") != std::string::npos) return false;
  return line.find(" value in ") != std::string::npos || line.starts_with("CHECK constraint");
}

}  // namespace

std::optional<FileFault> fault_of_file(const Database& db) {
  for (const std::string& line : integrity_faults(db, IntegrityCheck::kFull, kLinesMax)) {
    if (!is_about_rows(line)) return FileFault{"its file", "SQLite's check finds: " + line + "."};
  }
  const ReadTransaction view(db);
  const Result<Meta> meta = read_meta(db);
  if (!meta) return FileFault{"its file", meta.error().what + "."};
  if (const auto row = unsound_row(db)) return FileFault{"its file", "In it, " + *row + "."};
  const Seq proven = proven_floor(db, *meta);
  if (proven <= PastLog(db).floor(*meta)) return std::nullopt;
  return FileFault{"its log", "Up to entry " + std::to_string(proven.value - 1) +
                                  " its log is not what was written."};
}

}  // namespace csa
