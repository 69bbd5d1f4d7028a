// The store thread of Link: one job after the other on the Replica, answers posted to the link
// thread.
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "common/limits.h"
#include "common/sqlite.h"
#include "common/system_clock.h"
#include "node/disk_probe.h"
#include "node/link.h"
#include "node/store_jobs.h"

namespace csa {
namespace {

struct StoreFailure {
  Error error;
  bool disk_full = false;
};

bool says_full(const std::exception& error, const std::string& path) {
  if (const auto* const sqlite = dynamic_cast<const SqliteError*>(&error)) {
    return is_disk_full(*sqlite, path);
  }
  const auto* const system = dynamic_cast<const std::system_error*>(&error);
  if (system == nullptr) return false;
  return system->code().value() == ENOSPC || system->code().value() == EDQUOT;
}

StoreFailure store_failure_of(const std::exception& error, const std::string& path) {
  const auto* const sqlite = dynamic_cast<const SqliteError*>(&error);
  if (sqlite != nullptr &&
      (sqlite->primary_code() == SQLITE_CORRUPT || sqlite->primary_code() == SQLITE_NOTADB)) {
    return {{Errc::kDamaged, "the replica " + path + " is damaged: " + error.what()}};
  }
  // A guest that is told of it may stand in another folder.
  std::error_code unknown;
  const std::string place = std::filesystem::absolute(path, unknown).string();
  const std::string begin = "the replica " + (unknown ? path : place) + " cannot be written: ";
  if (says_full(error, path)) {
    return {{Errc::kFailed, begin + "its disk is full (" + error.what() +
                                "). Free space there: this node then goes on by itself"},
            true};
  }
  return {{Errc::kFailed, begin + error.what() + ". Is the disk read-only or broken?"}};
}

}  // namespace

void Link::run_store() {
  while (true) {
    std::optional<StoreJob> job = jobs_.wait_pop(limits::kHeadInterval);
    if (job) {
      store_job(std::move(*job));
      continue;
    }
    if (jobs_.closed()) break;
    try {
      replica_->housekeeping();
    } catch (const std::exception& error) {
      log_.warn(store_failure_of(error, config_.replica_path).error.what);
    }
  }
  try {
    replica_->close();
  } catch (const std::exception& error) {
    log_.warn(store_failure_of(error, config_.replica_path).error.what);
  }
}

void Link::store_job(StoreJob job) {
  StoreAnswer answer;
  try {
    answer = run_store_job(std::move(job), *replica_);
  } catch (const std::exception& error) {
    answer = [failure = store_failure_of(error, config_.replica_path)](Session& session,
                                                                       TimePoint now) {
      session.on_store_failed(failure.error, failure.disk_full, now);
    };
  }
  if (!answer) return;
  // The link thread is always draining, so a full mailbox ends.
  Task task = [this, answer = std::move(answer)] { answer(session_, monotonic_now()); };
  if (!tasks_.push(std::move(task))) log_.debug("store: the link has ended");
}

}  // namespace csa
