// A replica compared with the master, beside all other work: its digest is read in slices, led to
// the Position of the master's, and what differs is narrowed to rows; where no row does, its file
// is proved by itself. With a connection of its own that never writes; one thread, which has time.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/digest.h"
#include "common/message.h"
#include "common/result.h"
#include "node/jobs.h"

namespace csa {

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
  // Of the last Checked.
  [[nodiscard]] const KeptRows& kept() const { return kept_; }

 private:
  [[nodiscard]] CheckAnswer begin(DigestReply reference);
  [[nodiscard]] std::optional<CheckAnswer> on_rows(const RowsReply& reply);
  [[nodiscard]] Result<Digest> scan_to(const Position& position, bool pace);
  // Asks for the next table that differs, or ends.
  [[nodiscard]] CheckAnswer next_table();
  [[nodiscard]] Status compare_rows(const RowsReply& master);
  void prove_file();
  void keep_rows();
  [[nodiscard]] Checked end();

  const SelfCheckOptions options_;
  Checked result_;
  Digest own_;
  std::vector<std::string> tables_;  // that differ and were not looked at, the last one first
  RowsGet asked_;
  bool open_ = false;
  std::uint64_t requests_ = 0;
  KeptRows kept_;
  std::string rows_;  // SQL of those that differ
};

}  // namespace csa
