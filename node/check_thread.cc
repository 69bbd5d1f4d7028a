// The check thread of Link: compares the replica with the master; answers are posted to the link
// thread.
#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "common/limits.h"
#include "common/system_clock.h"
#include "common/thread_priority.h"
#include "node/link.h"
#include "node/self_check.h"

namespace csa {

void Link::run_checks() {
  set_thread_priority(ThreadPriority::kBackground);
  SelfCheckOptions options;
  options.replica = config_.replica_path;
  options.bytes_per_s = config_.verify_bytes_per_s;
  options.wall_now = [] { return wall_now(); };
  std::mutex mutex;
  std::condition_variable never;  // nobody wakes it: the end is looked for often enough
  options.pause = [&](Duration pause) {
    const TimePoint end = monotonic_now() + pause;
    std::unique_lock<std::mutex> lock(mutex);
    while (!checks_.closed() && monotonic_now() < end) {
      never.wait_for(lock, std::min<Duration>(end - monotonic_now(), limits::kPollMax));
    }
    return !checks_.closed();
  };
  SelfCheck check(std::move(options));
  while (true) {
    std::optional<CheckJob> job = checks_.wait_pop(limits::kHeadInterval);
    if (!job && checks_.closed()) return;
    if (!job || checks_.closed()) continue;
    std::optional<CheckAnswer> answer = check.take(std::move(*job));
    if (!answer) continue;
    auto shared = std::make_shared<CheckAnswer>(std::move(*answer));
    const bool taken = tasks_.push_beyond([this, shared, kept = check.kept()] {
      session_.on_check(std::move(*shared), kept, monotonic_now());
    });
    if (!taken) log_.debug("check: the link has ended");
  }
}

}  // namespace csa
