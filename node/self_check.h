// A replica compared with the master, beside all other work: its digest is read in slices, led to
// the Position of the master's, and what differs is narrowed to rows; where no row does, its file
// is proved by itself. With a connection of its own that never writes; one thread, which has time.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/digest.h"
#include "common/message.h"
#include "common/result.h"
#include "common/sqlite.h"

namespace csa {

// From the broker.
using CheckJob = std::variant<DigestReply, RowsReply>;
// For the broker. A Checked ends the check.
using CheckAnswer = std::variant<RowsGet, Checked>;

struct SelfCheckOptions {
  std::string replica;
  std::uint64_t bytes_per_s = 0;  // of a check that nobody waits for; 0: no bound
  // Sleeps; false: the program ends. Called with no lock on the replica.
  std::function<bool(Duration)> pause;
  std::function<WallTime()> wall_now;
};

class SelfCheck {
 public:
  explicit SelfCheck(SelfCheckOptions options) : options_(std::move(options)) {}

  // nullopt: a late answer to something that is over. May take as long as reading the replica.
  [[nodiscard]] std::optional<CheckAnswer> take(CheckJob job);
  // Where the rows that differ, as they are here, were written; empty: nowhere. Of the last
  // Checked.
  [[nodiscard]] const std::string& kept_as() const { return kept_as_; }

 private:
  [[nodiscard]] CheckAnswer begin(DigestReply reference);
  [[nodiscard]] std::optional<CheckAnswer> on_rows(const RowsReply& reply);
  [[nodiscard]] Result<Digest> scan_to(const Position& position, bool pace);
  // Asks for the next table that differs, or ends.
  [[nodiscard]] CheckAnswer next_table();
  [[nodiscard]] Status compare_rows(const RowsReply& master);
  void prove_file();
  [[nodiscard]] Checked end();

  const SelfCheckOptions options_;
  Checked result_;
  Digest own_;
  std::vector<std::string> tables_;  // that differ and were not looked at, the last one first
  RowsGet asked_;
  bool open_ = false;
  std::uint64_t requests_ = 0;
  std::string kept_as_;
  std::string kept_;  // SQL of the rows that differ
};

}  // namespace csa
