#include "node/store_jobs.h"

#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "common/sqlite.h"
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
    const bool pages_here = replica.begin_download(job.snapshot, job.total, job.page_size);
    return [pages_here](Session& s, TimePoint now) { s.on_download(pages_here, now); };
  }
  StoreAnswer operator()(PlanCopy& job) const {
    const auto plan = shared(replica.plan_copy(job.first_page, job.hashes));
    return [plan](Session& s, TimePoint now) { s.on_planned(*plan, now); };
  }
  StoreAnswer operator()(WriteChunk& job) const {
    replica.write_chunk(job.offset, job.bytes);
    return [size = job.bytes.size()](Session& s, TimePoint now) { s.on_chunk_written(size, now); };
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
  StoreAnswer operator()(const RenewIdentity& job) const {
    replica.renew_identity(job.above);
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

bool says_full(const std::exception& error, const std::string& path) {
  if (const auto* const sqlite = dynamic_cast<const SqliteError*>(&error)) {
    return is_disk_full(*sqlite, path);
  }
  const auto* const system = dynamic_cast<const std::system_error*>(&error);
  if (system == nullptr) return false;
  return system->code().value() == ENOSPC || system->code().value() == EDQUOT;
}

}  // namespace

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

bool has_no_answer(const StoreJob& job) {
  return std::holds_alternative<DropDownload>(job) ||
         std::holds_alternative<RememberEndpoint>(job) ||
         std::holds_alternative<RememberClock>(job);
}

StoreAnswer run_store_job(StoreJob job, Replica& replica) { return std::visit(Run{replica}, job); }

}  // namespace csa
