// The store thread of Link: one job after the other on the Replica, answers posted to the link
// thread.
#include "common/limits.h"
#include "common/planted.h"
#include "common/system_clock.h"
#include "node/link.h"
#include "node/store_jobs.h"

namespace csa {

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
  const bool told = !has_no_answer(job);
  try {
    answer = run_store_job(std::move(job), *replica_);
  } catch (const std::exception& error) {
    const StoreFailure failure = store_failure_of(error, config_.replica_path);
    if (!told) {
      log_.warn("store: " + failure.error.what);
    } else {
      answer = [failure](Session& session, TimePoint now) {
        session.on_store_failed(failure.error, failure.disk_full, now);
      };
    }
  }
  crash_point("link: a job is done");
  if (!answer) return;
  // However many calls wait there: the session gives no other job before it has this answer.
  Task task = [this, answer = std::move(answer)] { answer(session_, monotonic_now()); };
  if (!tasks_.push_beyond(std::move(task))) log_.debug("store: the link has ended");
}

}  // namespace csa
