#include "node/store_jobs.h"

#include <memory>
#include <utility>

#include "node/disk_probe.h"

namespace csa {
namespace {

// std::function copies what it holds.
template <class T>
std::shared_ptr<T> shared(T value) {
  return std::make_shared<T>(std::move(value));
}

struct Run {
  Replica& replica;

  StoreAnswer operator()(ApplyPieces& job) const {
    const auto result = shared(replica.apply(job.pieces));
    if (*result) replica.trim(job.floor);
    return [result](Session& s, TimePoint now) { s.on_applied(std::move(*result), now); };
  }
  StoreAnswer operator()(BeginDownload& job) const {
    const std::uint64_t from = replica.begin_download(job.snapshot, job.total);
    return [from](Session& s, TimePoint now) { s.on_download(from, now); };
  }
  StoreAnswer operator()(WriteChunk& job) const {
    replica.write_chunk(job.offset, job.bytes);
    return [offset = job.offset, size = job.bytes.size()](Session& s, TimePoint now) {
      s.on_chunk_written(offset, size, now);
    };
  }
  StoreAnswer operator()(InstallCopy& job) const {
    const auto result = shared(replica.install(job.end));
    return [result](Session& s, TimePoint now) { s.on_applied(std::move(*result), now); };
  }
  StoreAnswer operator()(DropDownload& /*job*/) const {
    replica.drop_download();
    return {};
  }
  StoreAnswer operator()(ReserveCounters& /*job*/) const {
    const std::uint64_t up_to = replica.reserve_counters();
    return [up_to](Session& s, TimePoint now) { s.on_counters(up_to, now); };
  }
  StoreAnswer operator()(RenewIdentity& /*job*/) const {
    replica.renew_identity();
    return [state = replica.state()](Session& s, TimePoint now) { s.on_identity(state, now); };
  }
  StoreAnswer operator()(ProbeDisk& job) const {
    const bool room = disk_has_room(replica.path(), job.bytes);
    return [room](Session& s, TimePoint now) { s.on_probe(room, now); };
  }
  StoreAnswer operator()(RememberEndpoint& job) const {
    replica.remember_endpoint(job.endpoint);
    return {};
  }
  StoreAnswer operator()(RememberClock& job) const {
    replica.remember_clock(job.anchor);
    return {};
  }
  StoreAnswer operator()(JournalWrite& job) const {
    const auto result = shared(replica.write_offline(job.write));
    return [result](Session& s, TimePoint now) { s.on_journaled(std::move(*result), now); };
  }
  StoreAnswer operator()(ReadJournal& job) const {
    const auto result = shared(replica.read_journal(job.after, job.offset, job.max_bytes));
    return [result](Session& s, TimePoint now) { s.on_journal_read(std::move(*result), now); };
  }
  StoreAnswer operator()(MarkAnswered& job) const {
    replica.mark_answered(job.answers);
    return [state = replica.state()](Session& s, TimePoint now) { s.on_marked(state, now); };
  }
  StoreAnswer operator()(HandOverAnew& job) const {
    replica.unmark_journal(job.all);
    return [state = replica.state()](Session& s, TimePoint now) { s.on_marked(state, now); };
  }
  StoreAnswer operator()(SpoolPieces& job) const {
    const auto result = shared(replica.spool(job.pieces));
    return [result](Session& s, TimePoint now) { s.on_spooled(*result, now); };
  }
  StoreAnswer operator()(TakeOver& /*job*/) const {
    const auto result = shared(replica.take_over());
    return [result](Session& s, TimePoint now) { s.on_applied(std::move(*result), now); };
  }
};

}  // namespace

StoreAnswer run_store_job(StoreJob job, Replica& replica) { return std::visit(Run{replica}, job); }

}  // namespace csa
