#include "broker/merge_key_runs.h"

#include <iterator>
#include <limits>

#include "common/sqlite.h"

namespace csa {
namespace {

constexpr const char* kSchema = R"(
  PRAGMA journal_mode=OFF;
  PRAGMA synchronous=OFF;
  PRAGMA cache_size=-2048;
  CREATE TABLE run (first INTEGER PRIMARY KEY, last INTEGER, goes_to INTEGER);
  BEGIN;
)";

}  // namespace

class KeyRuns::File {
 public:
  File() : db_(std::string(), Database::Mode::kCreate) {
    db_.exec(kSchema);
    at_ = db_.prepare("SELECT * FROM run WHERE first <= ?1 ORDER BY first DESC LIMIT 1");
    from_ = db_.prepare("SELECT * FROM run WHERE first >= ?1 ORDER BY first LIMIT 1");
    put_ = db_.prepare("INSERT OR REPLACE INTO run VALUES (?1, ?2, ?3)");
    erase_ = db_.prepare("DELETE FROM run WHERE first = ?1");
  }
  [[nodiscard]] std::optional<Run> at(std::int64_t key) { return read(at_, key); }
  [[nodiscard]] std::optional<Run> from(std::int64_t key) { return read(from_, key); }
  void put(const Run& run) { put_.bind(1, run.first).bind(2, run.last).bind(3, run.to).run(); }
  void erase(std::int64_t first) { erase_.bind(1, first).run(); }

 private:
  static std::optional<Run> read(Statement& statement, std::int64_t key) {
    std::optional<Run> run;
    statement.bind(1, key);
    if (statement.step()) {
      run = {statement.column_int(0), statement.column_int(1), statement.column_int(2)};
    }
    statement.reset();
    return run;
  }

  Database db_;
  Statement at_, from_, put_, erase_;
};

KeyRuns::KeyRuns() = default;
KeyRuns::~KeyRuns() = default;
KeyRuns::KeyRuns(KeyRuns&&) noexcept = default;
KeyRuns& KeyRuns::operator=(KeyRuns&&) noexcept = default;

std::optional<KeyRuns::Run> KeyRuns::run_at(std::int64_t key) const {
  if (file_) return file_->at(key);
  const auto next = runs_.upper_bound(key);
  return next == runs_.begin() ? std::nullopt : std::optional(std::prev(next)->second);
}

std::optional<KeyRuns::Run> KeyRuns::run_from(std::int64_t key) const {
  if (file_) return file_->from(key);
  const auto next = runs_.lower_bound(key);
  return next == runs_.end() ? std::nullopt : std::optional(next->second);
}

void KeyRuns::put(const Run& run) {
  if (file_) return file_->put(run);
  runs_.insert_or_assign(run.first, run);
  if (runs_.size() <= kInMemoryMax) return;
  file_ = std::make_unique<File>();
  for (const auto& [first, known] : runs_) file_->put(known);
  runs_.clear();
}

void KeyRuns::erase(std::int64_t first) {
  if (file_) return file_->erase(first);
  runs_.erase(first);
}

bool KeyRuns::empty() const { return !run_from(std::numeric_limits<std::int64_t>::min()); }

std::optional<std::int64_t> KeyRuns::find(std::int64_t key) const {
  const std::optional<Run> run = run_at(key);
  if (!run || key > run->last) return std::nullopt;
  return run->to + (key - run->first);
}

void KeyRuns::add(std::int64_t key, std::int64_t to) {
  std::optional<Run> before = run_at(key);
  if (before && key <= before->last) return;
  if (before && before->last == key - 1 && before->to + (key - before->first) == to) {
    before->last = key;
    return put(*before);
  }
  put({key, key, to});
}

void KeyRuns::each(const std::function<void(std::int64_t key)>& visit) const {
  std::int64_t from = std::numeric_limits<std::int64_t>::min();
  while (const std::optional<Run> run = run_from(from)) {
    for (std::int64_t key = run->first; key < run->last; ++key) visit(key);
    visit(run->last);
    if (run->last == std::numeric_limits<std::int64_t>::max()) return;
    from = run->last + 1;
  }
}

void KeyRuns::remove(std::int64_t key) {
  const std::optional<Run> run = run_at(key);
  if (!run || key > run->last) return;
  if (run->first == key) {
    erase(key);
  } else {
    put({run->first, key - 1, run->to});
  }
  if (key < run->last) put({key + 1, run->last, run->to + (key - run->first) + 1});
}

}  // namespace csa
