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

std::string text_of(const Database& db, const std::string& sql) {
  return db.query_text(sql).value_or("");
}

// csa_outcome of a copy, but for what only the broker knows: refused writes and returned rows.
struct KnownOutcome {
  std::int64_t seq = 0;
  bool replayed = false;  // a replica, which reads the log, knows no more than the seq of those
  std::string rest;
};
using Writer = std::string;
using KnownOutcomes = std::map<std::pair<Writer, std::int64_t>, KnownOutcome>;
using Floors = std::map<Writer, std::int64_t>;

Floors floors_of(const Database& db) {
  Floors floors;
  Statement rows = db.prepare("SELECT hex(node), counter FROM csa_outcome_floor");
  while (rows.step()) floors[rows.column_text(0)] = rows.column_int(1);
  return floors;
}

KnownOutcomes outcomes_of(const Database& db, const Floors& above) {
  KnownOutcomes outcomes;
  Statement rows = db.prepare(
      "SELECT hex(node), counter, seq, replay <> 0, hex(request_hash) || ' ' || changes || ' ' ||"
      " ifnull(last_insert_rowid, 'none') || ' ' || schema_version || ' ' || statement || ' ' ||"
      " ifnull(message, '') FROM csa_outcome NOT INDEXED WHERE code = 0 AND seq > 0");
  while (rows.step()) {
    const auto floor = above.find(rows.column_text(0));
    if (floor != above.end() && rows.column_int(1) <= floor->second) continue;
    outcomes[{rows.column_text(0), rows.column_int(1)}] = {
        rows.column_int(2), rows.column_int(3) != 0, rows.column_text(4)};
  }
  return outcomes;
}

std::string outcome_difference(const Database& master, const Database& replica) {
  Floors floors = floors_of(master);
  if (floors != floors_of(replica)) return "its csa_outcome_floor differs";
  const KnownOutcomes left = outcomes_of(master, floors);
  const KnownOutcomes right = outcomes_of(replica, floors);
  for (const auto& [name, known] : left) {
    const auto same = right.find(name);
    const std::string which = name.first + " " + std::to_string(name.second);
    if (same == right.end()) return "its csa_outcome lacks " + which;
    if (same->second.seq != known.seq) return "its csa_outcome has another seq of " + which;
    if (!known.replayed && same->second.rest != known.rest) {
      return "its csa_outcome differs in " + which + ": " + known.rest + " and " +
             same->second.rest;
    }
  }
  return left.size() == right.size() ? "" : "its csa_outcome has what the master's has not";
}

// What csa itself keeps beside the log and derives from it, as far as both have to have it.
std::string own_difference(const std::string& master_path, const std::string& replica_path) {
  const Database master(master_path, Database::Mode::kReadOnly);
  const Database replica(replica_path, Database::Mode::kReadOnly);
  for (const auto& [table, sql] : {
           std::pair{"csa_epoch",
                     "SELECT group_concat(generation || ' ' || hex(id) || ' ' || parent_generation"
                     " || ' ' || hex(parent_id) || ' ' || parent_seq || ' ' || hex(parent_chain) ||"
                     " ' ' || started_ms, char(10)) FROM csa_epoch NOT INDEXED"},
           std::pair{"csa_layout",
                     "SELECT group_concat(schema_version || ' ' || json, char(10)) FROM csa_layout"
                     " NOT INDEXED"},
       }) {
    if (text_of(master, sql) != text_of(replica, sql)) {
      return std::string("its ") + table + " differs";
    }
  }
  return outcome_difference(master, replica);
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

int FlipTable::count(const std::string& part, const std::string& outcome) const {
  const auto outcomes = counts_.find(part);
  if (outcomes == counts_.end()) return 0;
  const auto found = outcomes->second.find(outcome);
  return found == outcomes->second.end() ? 0 : found->second;
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
  if (log_of(place.master(), from) != log_of(place.file(replica), from)) return "its log differs";
  return own_difference(place.master(), place.file(replica));
}

}  // namespace csa::fault_test
