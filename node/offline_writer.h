// Runs writes on a replica while there is no broker: on a connection of its own, with triggers and
// foreign keys, under the same authorizer and limits as on the master, captured into the journal in
// the same synced transaction. Belongs to the store thread. Throws SqliteError for the disk.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "common/assigned_keys.h"
#include "common/call_runner.h"
#include "common/capture.h"
#include "common/journal.h"
#include "common/sandbox.h"
#include "common/sqlite.h"
#include "common/store_meta.h"
#include "common/wal_base.h"
#include "node/jobs.h"

namespace csa {

class OfflineWriter {
 public:
  // `on_pages` is told the WAL's length in pages after each commit.
  OfflineWriter(const std::string& replica, std::function<void(int)> on_pages);
  ~OfflineWriter();
  OfflineWriter(const OfflineWriter&) = delete;
  OfflineWriter& operator=(const OfflineWriter&) = delete;

  // `base`: the replica's meta. `sound` is asked with the write lock held: false, and nothing is
  // done. `state` is the journal's, moved on where the write is committed. The tables that changed
  // are added to `tables`. A write that changes nothing leaves no entry; one that was sent is not
  // made then, since the master may hold other rows.
  struct Unsound {};
  using Outcome = std::variant<Journaled, Nack, Unsound>;
  [[nodiscard]] Outcome write(const OfflineWrite& write, const Meta& base, JournalState& state,
                              const std::function<bool()>& sound, std::vector<std::string>& tables);
  // Of a write() that threw: its COMMIT was begun.
  [[nodiscard]] bool in_commit() const { return in_commit_; }

 private:
  [[nodiscard]] std::variant<CallEffect, Rejection> run(const OfflineWrite& write,
                                                        const Spill*& body);
  [[nodiscard]] std::variant<CallEffect, Rejection> run_captured(const OfflineWrite& write,
                                                                 const Spill*& body);

  Database db_;
  std::function<void(int)> on_pages_;
  // Made from db_, gone before it.
  std::unique_ptr<Sandbox> sandbox_;
  std::unique_ptr<AssignedKeys> keys_;
  std::unique_ptr<Capture> capture_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<CommitCount> commits_;
  bool in_commit_ = false;
};

}  // namespace csa
