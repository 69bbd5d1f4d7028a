#include "node/self_check.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <utility>

#include "common/change_bytes.h"
#include "common/digest_scan.h"
#include "common/log_changes.h"
#include "common/planted.h"
#include "common/schema.h"
#include "common/sqlite.h"
#include "common/store_meta.h"
#include "common/sync_file.h"
#include "node/file_proof.h"
#include "node/read_only.h"

namespace csa {
namespace {

using std::chrono::milliseconds;

constexpr int kScansMax = 3;
constexpr milliseconds kLookAgain{100};
constexpr int kLooksMax = 300;  // for the log to reach a Position
constexpr std::size_t kBucketsMax = 128;
constexpr std::size_t kKeptMax = std::size_t{8} << 20U;

Database open_checked(const std::string& path) {
  Database db(path, Database::Mode::kReadOnly);
  sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  db.exec("PRAGMA query_only=ON");
  return db;
}

Bytes encoded(const Row& key) {
  Bytes bytes;
  for (const Value& value : key) append_value(value, bytes);
  return bytes;
}

using Sums = std::map<Bytes, const RowSum*>;

Sums by_key(const std::vector<RowSum>& rows) {
  Sums sums;
  for (const RowSum& row : rows) sums.emplace(encoded(row.key), &row);
  return sums;
}

// Keys of rows that differ; those that the log tells of since cannot be judged by these sums.
std::vector<Row> differing_keys(const std::vector<RowSum>& own, const std::vector<RowSum>& master,
                                const std::set<Bytes>& touched) {
  const Sums here = by_key(own);
  const Sums there = by_key(master);
  std::vector<Row> keys;
  for (const auto& [key, row] : here) {
    const auto other = there.find(key);
    const bool same = other != there.end() && *other->second == *row;
    if (!same && !touched.contains(key)) keys.push_back(row->key);
  }
  for (const auto& [key, row] : there) {
    if (!here.contains(key) && !touched.contains(key)) keys.push_back(row->key);
  }
  std::sort(keys.begin(), keys.end(), [](const Row& a, const Row& b) {
    const bool numbers = a.size() == 1 && b.size() == 1 &&
                         std::holds_alternative<std::int64_t>(a[0]) &&
                         std::holds_alternative<std::int64_t>(b[0]);
    return numbers ? std::get<std::int64_t>(a[0]) < std::get<std::int64_t>(b[0])
                   : encoded(a) < encoded(b);
  });
  return keys;
}

// The rows with these keys as SQL that inserts them, for people.
std::string rows_sql(const Database& db, const std::string& table, const std::vector<Row>& keys) {
  const std::optional<TableInfo> info = table_info(db, table);
  if (!info) return {};
  std::string names;
  std::string values;
  const auto add = [&](const std::string& name) {
    names += (names.empty() ? "" : ", ") + quote(name);
    values += (values.empty() ? "quote(" : " || ', ' || quote(") + quote(name) + ")";
  };
  const ChangeTable& shape = info->change_table;
  if (!shape.without_rowid) add(info->rowid_name);
  for (const std::uint32_t column : info->carried) {
    if (info->columns[column].name != info->rowid_name) add(info->columns[column].name);
  }
  std::string where;
  for (std::size_t i = 0; i < key_size(shape); ++i) {
    const std::string name = shape.without_rowid
                                 ? info->columns[info->carried[shape.key_columns[i]]].name
                                 : info->rowid_name;
    where += (i == 0 ? " WHERE " : " AND ") + quote(name) + " = ?" + std::to_string(i + 1);
  }
  Statement row = db.prepare("SELECT " + values + " FROM main." + quote(table) + where);
  std::string sql;
  for (const Row& key : keys) {
    for (std::size_t i = 0; i < key.size(); ++i) row.bind(static_cast<int>(i) + 1, key[i]);
    if (row.step()) {
      sql +=
          "INSERT INTO " + quote(table) + " (" + names + ") VALUES (" + row.column_text(0) + ");\n";
    }
    row.reset();
    if (sql.size() > kKeptMax) return sql + "-- and more\n";
  }
  return sql;
}

}  // namespace

std::optional<CheckAnswer> SelfCheck::take(CheckJob job) {
  try {
    if (auto* const reference = std::get_if<DigestReply>(&job)) return begin(std::move(*reference));
    return on_rows(std::get<RowsReply>(job));
  } catch (const SqliteError& error) {
    open_ = false;
    result_.tables.clear();
    result_.text = "It cannot be read: " + std::string(error.what()) + ".";
    if (error.primary_code() == SQLITE_CORRUPT || error.primary_code() == SQLITE_NOTADB) {
      result_.differences = {{"its file", 0, {}, {}}};
    }
    return result_;
  }
}

CheckAnswer SelfCheck::begin(DigestReply reference) {
  result_ = Checked{};
  result_.asked = reference.asked;
  result_.position = reference.position;
  kept_ = {};
  rows_.clear();
  tables_.clear();
  open_ = true;
  if (!reference.text.empty()) {
    result_.text = reference.text;
    return end();
  }
  Result<Digest> own = scan_to(reference.position, reference.asked == 0);
  if (!own) {
    result_.text = "It was not read: " + own.error().what + ".";
    return end();
  }
  own_ = std::move(*own);
  result_.fingerprint = own_.fingerprint;
  result_.tables = table_sums(own_);
  for (const TableSum& theirs : reference.tables) {
    const TableDigest* const ours = own_.find(theirs.name);
    if (ours == nullptr) {
      result_.differences.push_back({theirs.name, 0, {}, {}});
      continue;
    }
    const DigestSum sum{theirs.rows, theirs.low, theirs.high};
    if (ours->known && theirs.known && ours->sum != sum) tables_.push_back(theirs.name);
  }
  return next_table();
}

Result<Digest> SelfCheck::scan_to(const Position& position, bool pace) {
  const Database db = open_checked(options_.replica);
  Error last;
  for (int i = 0; i < kScansMax; ++i) {
    DigestScan scan(db);
    Result<bool> done = scan.step({});
    while (done && !*done) {
      if (pace && options_.bytes_per_s > 0) {
        const milliseconds rest(scan.step_bytes() * 1000 / options_.bytes_per_s);
        if (!options_.pause(rest)) return Error{Errc::kFailed, "the program ends"};
      }
      done = scan.step({});
    }
    last = done ? Error{} : done.error();
    if (!done && last.code == Errc::kRefused) return last;
    if (!done) continue;
    Digest digest = scan.digest();
    if (planted("compare at another position")) return digest;
    for (int look = 0; look < kLooksMax; ++look) {
      Status led = [&] {
        const ReadTransaction view(db);
        return lead(db, digest, position.seq);
      }();
      if (led && digest.position == position) return digest;
      last = led ? Error{Errc::kNothing, "it follows another history"} : led.error();
      if (led || last.code != Errc::kTimeout) break;
      if (!options_.pause(kLookAgain)) return last;
    }
  }
  return last;
}

CheckAnswer SelfCheck::next_table() {
  if (tables_.empty()) return end();
  if (tables_.back() == kSequenceTable) {
    result_.differences.push_back({tables_.back(), 0, {}, {}});
    tables_.pop_back();
    return next_table();
  }
  asked_ = RowsGet{++requests_, result_.position, tables_.back(), {}};
  return asked_;
}

std::optional<CheckAnswer> SelfCheck::on_rows(const RowsReply& reply) {
  if (!open_ || tables_.empty() || reply.request != asked_.request) return std::nullopt;
  const auto whole_table = [this] {
    result_.differences.push_back({tables_.back(), 0, {}, {}});
    tables_.pop_back();
    return next_table();
  };
  if (!reply.text.empty()) return whole_table();
  if (!asked_.buckets.empty()) {
    if (!compare_rows(reply)) return whole_table();
    tables_.pop_back();
    return next_table();
  }
  const Sums there = by_key(reply.rows);
  const std::vector<RowSum> own = bucket_sums(*own_.find(tables_.back()));
  for (const Row& key : differing_keys(own, reply.rows, {})) {
    const auto* const bucket = key.empty() ? nullptr : std::get_if<std::int64_t>(key.data());
    if (bucket == nullptr || *bucket < 0 || *bucket >= std::int64_t{kDigestBuckets}) continue;
    asked_.buckets.push_back(static_cast<std::uint32_t>(*bucket));
  }
  if (asked_.buckets.empty() || asked_.buckets.size() > kBucketsMax) return whole_table();
  asked_.request = ++requests_;
  return asked_;
}

Status SelfCheck::compare_rows(const RowsReply& master) {
  const Database db = open_checked(options_.replica);
  for (int look = 0; look < kLooksMax; ++look) {
    {
      const ReadTransaction view(db);
      const Result<Meta> meta = read_meta(db);
      if (!meta) return meta.error();
      if (meta->position.epoch != master.position.epoch) {
        return Error{Errc::kNothing, "another history has begun meanwhile"};
      }
      if (meta->position.seq >= master.position.seq) {
        std::set<Bytes> touched;
        CSA_TRY(
            each_logged_change(db, meta->floor, master.position.seq, meta->position.seq,
                               [&](const Change& change, const std::vector<ChangeTable>& tables) {
                                 const auto* const row = std::get_if<RowChange>(&change);
                                 if (row == nullptr || tables.at(row->table).name != asked_.table)
                                   return;
                                 touched.insert(encoded(row->key));
                                 if (row->new_key) touched.insert(encoded(*row->new_key));
                               }));
        // A copy that differs may hold more than the master.
        const auto own = row_sums(db, asked_.table, asked_.buckets, 2 * kRowSumBytesMax);
        if (!own) return Error{Errc::kFailed, "there are too many rows here"};
        const std::vector<Row> keys = differing_keys(*own, master.rows, touched);
        if (keys.empty()) return Error{Errc::kNothing, "its rows were changed meanwhile"};
        result_.differences.push_back({asked_.table, keys.size(), keys.front(), keys.back()});
        if (rows_.size() < kKeptMax) rows_ += rows_sql(db, asked_.table, keys);
        return Ok{};
      }
    }
    if (!options_.pause(kLookAgain)) break;
  }
  return Error{Errc::kTimeout, "the log did not come in time"};
}

void SelfCheck::prove_file() {
  const std::optional<FileFault> fault = fault_of_file(open_checked(options_.replica));
  if (!fault) return;
  result_.differences.push_back({fault->part, 0, {}, {}});
  result_.text = fault->text;
}

// The copy that repairs them is synced, so they must be before.
void SelfCheck::keep_rows() {
  std::string date = to_string(options_.wall_now()).substr(0, 19);
  std::erase_if(date, [](char c) { return c == '-' || c == ':'; });
  const std::string path = options_.replica + "-differing-" + date + ".sql";
  const bool fresh = ::access(path.c_str(), F_OK) != 0;
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::app);
  file << "-- rows of " << options_.replica << " that differed from the master's at "
       << to_string(result_.position) << "\n"
       << rows_;
  file.close();
  const int code = errno;
  const Status synced =
      file ? sync_with_folder(path)
           : Error{Errc::kFailed, "cannot write " + path + ": " + std::strerror(code)};
  if (synced) {
    kept_.file = path;
    return;
  }
  kept_.failed = synced.error().what;
  if (fresh) ::unlink(path.c_str());
}

Checked SelfCheck::end() {
  open_ = false;
  if (result_.differences.empty() && result_.text.empty()) prove_file();
  if (!rows_.empty()) keep_rows();
  return result_;
}

}  // namespace csa
