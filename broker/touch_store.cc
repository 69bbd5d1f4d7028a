#include "broker/touch_store.h"

#include <algorithm>
#include <functional>
#include <string>
#include <tuple>
#include <utility>

namespace csa {
namespace {

constexpr const char* kTouchTables = R"(
  PRAGMA journal_mode=OFF;
  PRAGMA synchronous=OFF;
  PRAGMA cache_size=-8192;
  CREATE TABLE touch (row BLOB, seq INTEGER, n INTEGER, op INTEGER, mask BLOB, content BLOB,
                      version INTEGER, given BLOB, PRIMARY KEY (row, seq, n)) WITHOUT ROWID;
)";

// What one takes beside its bytes.
constexpr std::size_t kTouchCost = 160;

}  // namespace

void TouchStore::clear() {
  held_ = {};
  rows_ = {};
  found_ = {};
  memory_ = 0;
  asked_ = nullptr;
  for (Statement* const statement : {&add_, &of_row_, &of_table_too_}) {
    *statement = Statement();
  }
  db_.reset();
}

void TouchStore::add(StoredTouch touch) {
  if (db_) return store(touch);
  memory_ += kTouchCost + touch.mask.size() + touch.given.size() + touch.content.size();
  const auto place = static_cast<std::uint32_t>(held_.size());
  const auto [last, fresh] = rows_.try_emplace(touch.row, place);
  const std::uint32_t before = fresh ? kNone : std::exchange(last->second, place);
  held_.push_back({std::move(touch), before});
  if (memory_ > memory_max_) move_out();
}

void TouchStore::move_out() {
  db_.emplace(std::string(), Database::Mode::kCreate);
  db_->exec(kTouchTables);
  // It ends with the database: what a commit would write is read by nobody else.
  db_->exec("BEGIN");
  add_ = db_->prepare("INSERT INTO touch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
  const std::string touched =
      "SELECT seq, n, op, mask, content, version, given FROM touch WHERE (seq, n) > (?2, ?3) AND "
      "row = ";
  of_row_ = db_->prepare(touched + "?1 ORDER BY 1, 2");
  // Each half in the order of the index, merged: nothing is sorted, nor read in vain.
  of_table_too_ = db_->prepare(touched + "?1 UNION ALL " + touched + "?4 ORDER BY 1, 2");
  for (const Held& held : held_) store(held.touch);
  held_ = {};
  rows_ = {};
}

void TouchStore::store(const StoredTouch& touch) {
  add_.bind_blob(1, touch.row.bytes).bind(2, signed_of(touch.seq.value)).bind(3, touch.n);
  add_.bind(4, static_cast<std::int64_t>(touch.op)).bind_blob(5, touch.mask);
  add_.bind_blob(6, touch.content).bind(7, signed_of(touch.version));
  add_.bind_blob(8, touch.given);
  add_.run();
}

std::uint32_t TouchStore::last_of(const Id128& row) const {
  const auto last = rows_.find(row);
  return last == rows_.end() ? kNone : last->second;
}

void TouchStore::find(const Id128& row, Seq seq, std::int64_t n) {
  for (std::uint32_t at = last_of(row); at != kNone; at = held_[at].before) {
    const StoredTouch& touch = held_[at].touch;
    if (std::tie(touch.seq, touch.n) <= std::tie(seq, n)) return;
    found_.push_back(at);
  }
}

void TouchStore::ask(const Id128& row, const std::optional<Id128>& table, Seq seq, std::int64_t n) {
  if (!db_) {
    found_.clear();
    find(row, seq, n);
    if (!table) return;
    find(*table, seq, n);
    std::ranges::sort(found_, std::greater<>());
    return;
  }
  asked_ = table ? &of_table_too_ : &of_row_;
  asked_->reset();
  asked_->bind_blob(1, row.bytes).bind(2, signed_of(seq.value)).bind(3, n);
  if (table) asked_->bind_blob(4, table->bytes);
}

const StoredTouch* TouchStore::next() {
  if (!db_) {
    if (found_.empty()) return nullptr;
    const std::uint32_t at = found_.back();
    found_.pop_back();
    return &held_[at].touch;
  }
  if (!asked_->step()) return nullptr;
  told_.seq = Seq{unsigned_of(asked_->column_int(0))};
  told_.n = asked_->column_int(1);
  told_.op = static_cast<TouchOp>(asked_->column_int(2));
  told_.mask = asked_->column_blob(3);
  told_.content = asked_->column_blob(4);
  told_.version = unsigned_of(asked_->column_int(5));
  told_.given = asked_->column_blob(6);
  return &told_;
}

void TouchStore::end_asking() {
  found_.clear();
  if (asked_ != nullptr) asked_->reset();
}

}  // namespace csa
