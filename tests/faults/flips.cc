#include "tests/faults/flips.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>

#include "common/sqlite.h"
#include "tests/support/compare.h"

namespace csa::fault_test {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kAdvice = "move it away: ";
constexpr std::array<const char*, 3> kSuffixes{"", "-wal", "-shm"};

std::string log_of(const std::string& path, std::int64_t from) {
  const Database db(path, Database::Mode::kReadOnly);
  return db
      .query_text(
          "SELECT group_concat(part_id || ' ' || offset || ' ' || ifnull(hex(header), '')"
          " || ' ' || ifnull(hex(chain), '') || ' ' || hex(body), char(10))"
          " FROM csa_log WHERE part_id >> 20 >= " +
          std::to_string(from))
      .value_or("");
}

std::int64_t log_floor(const std::string& path) {
  const Database db(path, Database::Mode::kReadOnly);
  return db.query_int("SELECT ifnull(min(part_id) >> 20, 0) FROM csa_log").value_or(0);
}

}  // namespace

int flips_wanted(int by_default) {
  const char* const text = std::getenv("CSA_FLIPS");
  return text == nullptr ? by_default : std::atoi(text);
}

std::uint64_t flip_seed() {
  const char* const text = std::getenv("CSA_FLIP_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

void flip_bit(const std::string& file, std::uint64_t offset, unsigned bit) {
  std::fstream bytes(file, std::ios::binary | std::ios::in | std::ios::out);
  bytes.seekg(static_cast<std::streamoff>(offset));
  const int byte = bytes.get();
  REQUIRE(byte >= 0);
  bytes.seekp(static_cast<std::streamoff>(offset));
  bytes.put(static_cast<char>(static_cast<unsigned>(byte) ^ (1U << bit)));
}

KeptFiles::KeptFiles(const std::string& database) : database_(database) {
  for (const char* const suffix : kSuffixes) {
    if (!fs::exists(database + suffix)) continue;
    fs::copy_file(database + suffix, database + ".kept" + suffix,
                  fs::copy_options::overwrite_existing);
  }
  fs::remove(database + ".kept-shm");
}

void KeptFiles::put_back() const {
  const fs::path path(database_);
  const std::string name = path.filename().string();
  for (const auto& entry : fs::directory_iterator(path.parent_path())) {
    const std::string there = entry.path().filename().string();
    const bool ours = there.starts_with(name) && !there.starts_with(name + ".kept");
    if (ours && entry.is_regular_file()) fs::remove(entry.path());
  }
  for (const char* const suffix : {"", "-wal"}) {
    if (fs::exists(database_ + ".kept" + suffix)) {
      fs::copy_file(database_ + ".kept" + suffix, database_ + suffix);
    }
  }
}

FileParts::FileParts(const std::string& database) {
  const Database db(database, Database::Mode::kReadOnly);
  page_size_ = db.query_int("PRAGMA page_size").value_or(0);
  const std::int64_t count = db.query_int("PRAGMA page_count").value_or(0);
  std::set<std::int64_t> used;
  Statement pages = db.prepare(
      "SELECT d.pageno, CASE WHEN d.name LIKE 'csa\\_journal%' ESCAPE '\\' THEN 'journal'"
      " WHEN d.name = 'csa_log' THEN 'log' WHEN d.name LIKE 'csa\\_%' ESCAPE '\\' OR s.tbl_name "
      "LIKE 'csa\\_%'"
      " ESCAPE '\\' THEN 'csa' ELSE ifnull(s.type, 'table') END FROM dbstat d"
      " LEFT JOIN sqlite_schema s ON s.name = d.name WHERE d.pageno > 1");
  while (pages.step()) {
    used.insert(pages.column_int(0));
    pages_[pages.column_text(1)].push_back(pages.column_int(0));
  }
  pages_["header"].push_back(1);
  for (std::int64_t page = 2; page <= count; ++page) {
    if (!used.contains(page)) pages_["free"].push_back(page);
  }
}

std::uint64_t FileParts::pick(const std::string& part, std::mt19937_64& random) const {
  const auto found = pages_.find(part);
  if (found == pages_.end()) return 0;
  const std::int64_t page = found->second[random() % found->second.size()];
  // The header itself half of the time, else the schema behind it.
  const bool first = part == "header" && random() % 2 == 0;
  const std::uint64_t within = first ? 100 : static_cast<std::uint64_t>(page_size_);
  return static_cast<std::uint64_t>((page - 1) * page_size_) + random() % within;
}

int FlipTable::count(const std::string& outcome) const {
  int sum = 0;
  for (const auto& [part, outcomes] : counts_) {
    const auto found = outcomes.find(outcome);
    if (found != outcomes.end()) sum += found->second;
  }
  return sum;
}

int FlipTable::all() const {
  int sum = 0;
  for (const auto& [part, outcomes] : counts_) {
    for (const auto& [outcome, count] : outcomes) sum += count;
  }
  return sum;
}

std::string FlipTable::text() const {
  std::string text =
      title_ + ": " + std::to_string(all()) + " flips, seed " + std::to_string(flip_seed());
  for (const auto& [part, outcomes] : counts_) {
    text += "\n  " + part + ":";
    for (const auto& [outcome, count] : outcomes)
      text += " " + std::to_string(count) + " " + outcome + ";";
  }
  return text;
}

bool says_what_to_do(const std::string& errors) {
  return errors.find(kAdvice) != std::string::npos;
}

void do_as_told(const std::string& errors) {
  const std::size_t at = errors.find(kAdvice);
  REQUIRE(at != std::string::npos);
  const std::size_t from = at + kAdvice.size();
  const std::string command = errors.substr(from, errors.find('\n', from) - from);
  const system_test::Finished moved = system_test::run({{"sh", "-c", command}, {}, {}});
  CHECK_MESSAGE(moved.code == 0, command << ": " << moved.err);
}

std::string whole_difference(const system_test::Place& place, const std::string& replica,
                             system_test::milliseconds timeout) {
  const std::string rows = place.difference_of(replica, timeout);
  if (!rows.empty()) return rows;
  const std::int64_t from = std::max(log_floor(place.master()), log_floor(place.file(replica)));
  return log_of(place.master(), from) == log_of(place.file(replica), from) ? "" : "its log differs";
}

}  // namespace csa::fault_test
