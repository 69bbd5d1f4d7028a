// The store thread of Link: one job after the other on the Replica, answers posted to the link
// thread.
#include <system_error>

#include "common/limits.h"
#include "common/system_clock.h"
#include "node/disk_probe.h"
#include "node/link.h"

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
  // Answers are posted as closures; the link thread is always draining, so a full mailbox ends.
  const auto post = [this](auto answer) {
    Task task = [this, answer = std::move(answer)]() mutable { answer(session_, monotonic_now()); };
    if (!tasks_.push(std::move(task))) log_.debug("store: the link has ended");
  };
  struct Run {
    Link& link;
    Replica& replica;
    const decltype(post)& answer;
    void operator()(ApplyPieces& j) const {
      auto result = std::make_shared<Result<Applied>>(replica.apply(j.pieces));
      if (*result) replica.trim(j.floor);
      answer([result](Session& s, TimePoint now) { s.on_applied(std::move(*result), now); });
    }
    void operator()(BeginDownload& j) const {
      const std::uint64_t from = replica.begin_download(j.snapshot, j.total);
      answer([from](Session& s, TimePoint now) { s.on_download(from, now); });
    }
    void operator()(WriteChunk& j) const {
      replica.write_chunk(j.offset, j.bytes);
      answer([offset = j.offset, size = j.bytes.size()](Session& s, TimePoint now) {
        s.on_chunk_written(offset, size, now);
      });
    }
    void operator()(InstallCopy& j) const {
      auto result = std::make_shared<Result<Applied>>(replica.install(j.end));
      answer([result](Session& s, TimePoint now) { s.on_applied(std::move(*result), now); });
    }
    void operator()(DropDownload&) const { replica.drop_download(); }
    void operator()(ReserveCounters&) const {
      const std::uint64_t up_to = replica.reserve_counters();
      answer([up_to](Session& s, TimePoint now) { s.on_counters(up_to, now); });
    }
    void operator()(RenewIdentity&) const {
      replica.renew_identity();
      answer([state = replica.state()](Session& s, TimePoint now) { s.on_identity(state, now); });
    }
    void operator()(ProbeDisk& j) const {
      const bool room = disk_has_room(link.config_.replica_path, j.bytes);
      answer([room](Session& s, TimePoint now) { s.on_probe(room, now); });
    }
    void operator()(RememberEndpoint& j) const { replica.remember_endpoint(j.endpoint); }
  };
  try {
    std::visit(Run{*this, *replica_, post}, job);
  } catch (const std::exception& error) {
    auto result = std::make_shared<Result<Applied>>(disk_error(config_.replica_path, error.what()));
    post([result](Session& s, TimePoint now) { s.on_store_failed(result->error(), now); });
  }
}

}  // namespace csa
