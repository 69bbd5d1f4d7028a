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

constexpr const char* kEpochs =
    "SELECT group_concat(generation || ' ' || hex(id) || ' ' || parent_generation || ' ' ||"
    " hex(parent_id) || ' ' || parent_seq || ' ' || hex(parent_chain) || ' ' || started_ms,"
    " char(10)) FROM csa_epoch NOT INDEXED";
constexpr const char* kLayouts =
    "SELECT group_concat(schema_version || ' ' || json, char(10)) FROM csa_layout NOT INDEXED";
constexpr const char* kPosition =
    "SELECT group_concat(key || ' ' || quote(value), char(10)) FROM csa_meta"
    " WHERE key IN ('generation', 'epoch', 'seq', 'chain')";
constexpr const char* kDescription =
    "SELECT group_concat(key || ' ' || quote(value), char(10)) FROM csa_meta WHERE key IN"
    " ('app', 'db', 'fingerprint', 'group', 'schema_version', 'tables_version')";
constexpr const char* kIdentity =
    "SELECT group_concat(key || ' ' || quote(value), char(10)) FROM csa_private"
    " WHERE key IN ('app', 'group', 'node', 'role')";

// Of a page of a table or an index: where its rows lie, behind the list of them and the free space.
// See "B-tree Pages" of SQLite's file format.
std::pair<std::uint64_t, std::uint64_t> rows_in(const std::string& page, bool overflow,
                                                std::int64_t unused) {
  const std::uint64_t size = page.size();
  if (overflow) return {4, size - static_cast<std::uint64_t>(unused)};
  const auto byte = [&page](std::size_t at) { return static_cast<unsigned char>(page.at(at)); };
  const std::uint64_t begin = 256U * byte(5) + byte(6);
  return {begin == 0 ? size : begin, size};
}

std::string read_bytes(const std::string& file, std::int64_t at, std::int64_t size) {
  std::ifstream bytes(file, std::ios::binary);
  bytes.seekg(at);
  std::string text(static_cast<std::size_t>(size), '\0');
  REQUIRE(bytes.read(text.data(), size));
  return text;
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
      " ESCAPE '\\' THEN 'csa' ELSE ifnull(s.type, 'table') END, s.tbl_name,"
      " d.pagetype = 'overflow', d.unused, d.ncell FROM dbstat d"
      " LEFT JOIN sqlite_schema s ON s.name = d.name WHERE d.pageno > 1");
  while (pages.step()) {
    const std::int64_t page = pages.column_int(0);
    used.insert(page);
    pages_[pages.column_text(1)].push_back(page);
    const bool overflow = pages.column_int(3) != 0;
    if (pages.column_text(1) != "csa" || (!overflow && pages.column_int(5) == 0)) continue;
    const std::int64_t at = (page - 1) * page_size_;
    const auto [begin, end] =
        rows_in(read_bytes(database, at, page_size_), overflow, pages.column_int(4));
    const auto offset = static_cast<std::uint64_t>(at);
    if (begin < end) used_[pages.column_text(2)].push_back({offset + begin, offset + end});
  }
  pages_["header"].push_back(1);
  for (std::int64_t page = 2; page <= count; ++page) {
    if (!used.contains(page)) pages_["free"].push_back(page);
  }
}

std::uint64_t FileParts::pick(const std::string& part, std::mt19937_64& random) const {
  if (part == "csa") {
    const std::vector<std::string> tables = own_tables();
    return tables.empty() ? 0 : pick_used(tables[random() % tables.size()], random);
  }
  const auto found = pages_.find(part);
  if (found == pages_.end()) return 0;
  const std::int64_t page = found->second[random() % found->second.size()];
  // The header itself half of the time, else the schema behind it.
  const bool first = part == "header" && random() % 2 == 0;
  const std::uint64_t within = first ? 100 : static_cast<std::uint64_t>(page_size_);
  return static_cast<std::uint64_t>((page - 1) * page_size_) + random() % within;
}

std::vector<std::string> FileParts::own_tables() const {
  std::vector<std::string> tables;
  for (const auto& [table, bytes] : used_) tables.push_back(table);
  return tables;
}

std::uint64_t FileParts::pick_used(const std::string& own_table, std::mt19937_64& random) const {
  const std::vector<Bytes>& all = used_.at(own_table);
  std::uint64_t sum = 0;
  for (const Bytes& bytes : all) sum += bytes.end - bytes.begin;
  std::uint64_t rest = random() % sum;
  for (const Bytes& bytes : all) {
    if (rest < bytes.end - bytes.begin) return bytes.begin + rest;
    rest -= bytes.end - bytes.begin;
  }
  return 0;
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

bool do_as_told(const std::string& errors, const std::string& replica) {
  const std::size_t at = errors.find(kAdvice);
  REQUIRE(at != std::string::npos);
  const std::size_t from = at + kAdvice.size();
  const std::string command = errors.substr(from, errors.find('\n', from) - from);
  const system_test::Finished moved = system_test::run({{"sh", "-c", command}, {}, {}});
  for (const char* const suffix : kSuffixes) {
    CHECK_MESSAGE(!fs::exists(replica + suffix), command << ": " << moved.err);
  }
  return moved.code == 0;
}

std::string whole_difference(const system_test::Place& place, const std::string& replica,
                             system_test::milliseconds timeout) {
  const std::string rows = place.difference_of(replica, timeout);
  if (!rows.empty()) return rows;
  const Database master(place.master(), Database::Mode::kReadOnly);
  const Database copy(place.file(replica), Database::Mode::kReadOnly);
  if (text_of(master, kPosition) != text_of(copy, kPosition)) return "its position differs";
  const std::int64_t from = std::max(log_floor(place.master()), log_floor(place.file(replica)));
  if (log_of(place.master(), from) != log_of(place.file(replica), from)) return "its log differs";
  return {};
}

std::string own_difference(const system_test::Place& place, const std::string& replica,
                           const std::string& before) {
  const Database master(place.master(), Database::Mode::kReadOnly);
  const Database copy(place.file(replica), Database::Mode::kReadOnly);
  for (const auto& [table, sql] :
       {std::pair{"csa_epoch", kEpochs}, std::pair{"csa_layout", kLayouts},
        std::pair{"csa_meta", kDescription}}) {
    if (text_of(master, sql) != text_of(copy, sql)) return std::string("its ") + table + " differs";
  }
  const Database was(before, Database::Mode::kReadOnly);
  if (text_of(was, kIdentity) != text_of(copy, kIdentity)) return "its csa_private differs";
  return outcome_difference(master, copy);
}

}  // namespace csa::fault_test
