// What a user's SQL may do on a connection that writes: an authorizer that is asked while such a
// statement is prepared, and a deadline while it runs. Both sleep for csa's own statements. Belongs
// to the thread of its Database and must be gone before it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/sqlite.h"
#include "common/types.h"

namespace csa {

class Sandbox {
 public:
  enum class Mode : std::uint8_t { kWrite, kMigration };

  // What the statement that was prepared last does.
  struct Seen {
    bool rows = false;    // changes rows by itself, not only through triggers
    bool insert = false;  // by INSERT or REPLACE
    bool select = false;
    bool schema = false;         // creates, drops or alters something, or sets a number of the file
    bool file_number = false;    // PRAGMA user_version or application_id
    bool virtual_table = false;  // CREATE VIRTUAL TABLE
    std::string created_table;   // ordinary one
  };

  // REQUIRES: `db` outlives this and has no other authorizer or progress handler.
  Sandbox(const Database& db, std::function<TimePoint()> now);
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  // As Database::prepare_next. Throws SqliteError; if the sandbox refused, refusal() says why.
  [[nodiscard]] Statement prepare(std::string_view& sql, Mode mode);
  [[nodiscard]] const Seen& seen() const { return seen_; }
  // The sentence for people; empty: the last prepare() was not refused.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }

  // From now on a statement that still runs at `deadline` is interrupted.
  void set_deadline(std::optional<TimePoint> deadline) { deadline_ = deadline; }
  [[nodiscard]] bool past_deadline() const { return deadline_ && now_() >= *deadline_; }
  // While there is a deadline, a statement is interrupted as well once `lost` is true: its write
  // will be undone anyway. Asked while it runs, so it must not touch the database.
  void set_lost(std::function<bool()> lost) { lost_ = std::move(lost); }
  // Called again and again while any statement of the connection runs, csa's own included: SQLite
  // is at work, and does not wait for the disk. It must not touch the database.
  void set_progress(std::function<void()> progress) { progress_ = std::move(progress); }

 private:
  struct Question {
    int action;
    std::string_view first, second, database, trigger;
  };
  [[nodiscard]] bool must_stop() const {
    return past_deadline() || (deadline_ && lost_ && lost_());
  }
  [[nodiscard]] bool allow(const Question& question);
  [[nodiscard]] bool allow_rows(const Question& question);
  [[nodiscard]] bool allow_read(const Question& question);
  [[nodiscard]] bool allow_schema(const Question& question);
  [[nodiscard]] bool allow_pragma(const Question& question);
  [[nodiscard]] bool refuse(std::string sentence);

  const Database& db_;
  std::function<TimePoint()> now_;
  std::function<bool()> lost_;
  std::function<void()> progress_;
  std::optional<TimePoint> deadline_;
  bool watching_ = false;
  Mode mode_ = Mode::kWrite;
  Seen seen_;
  std::string refusal_;
};

}  // namespace csa
