// The store thread of Link: one job after the other on the Replica, answers posted to the link
// thread.
#include <system_error>

#include "common/limits.h"
#include "common/sqlite.h"
#include "common/system_clock.h"
#include "node/link.h"
#include "node/store_jobs.h"

namespace csa {
namespace {

Error disk_error(const std::string& path, const char* what) {
  return Error{Errc::kFailed, "the replica " + path + " cannot be written: " + what +
                                  ". Is the disk full or read-only?"};
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
      log_.warn(disk_error(config_.replica_path, error.what()).what);
    }
  }
  try {
    replica_->close();
  } catch (const std::exception& error) {
    log_.warn(disk_error(config_.replica_path, error.what()).what);
  }
}

void Link::store_job(StoreJob job) {
  StoreAnswer answer;
  try {
    answer = run_store_job(std::move(job), *replica_);
  } catch (const SqliteError& error) {
    Error failure = disk_error(config_.replica_path, error.what());
    if (error.primary_code() == SQLITE_CORRUPT || error.primary_code() == SQLITE_NOTADB) {
      failure = {Errc::kDamaged,
                 "the replica " + config_.replica_path + " is damaged: " + error.what()};
    }
    answer = [failure](Session& session, TimePoint now) { session.on_store_failed(failure, now); };
  } catch (const std::exception& error) {
    answer = [failure = disk_error(config_.replica_path, error.what())](
                 Session& session, TimePoint now) { session.on_store_failed(failure, now); };
  }
  if (!answer) return;
  // The link thread is always draining, so a full mailbox ends.
  Task task = [this, answer = std::move(answer)] { answer(session_, monotonic_now()); };
  if (!tasks_.push(std::move(task))) log_.debug("store: the link has ended");
}

}  // namespace csa
