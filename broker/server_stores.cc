#include "broker/server_stores.h"

#include <filesystem>
#include <new>

#include "common/limits.h"
#include "common/sqlite.h"
#include "common/system_clock.h"
#include "common/thread_priority.h"

namespace csa {
namespace {

constexpr std::size_t kLedgerJobsMax = 2;  // a group, and confirmations
// Copies count as no reader's job: all that there are may be dropped, and one more be cut.
constexpr std::size_t kQuickJobsMax = limits::kReaderJobsMax + limits::kSnapshotsMax + 1;
// Between two steps of work that was put off, so that writes and reads come in between.
constexpr std::chrono::milliseconds kHousekeepingPause{20};
constexpr std::size_t kAnswersMax = 2 * limits::kReaderJobsMax;

std::string folder_of(const std::string& database) {
  const std::string folder = std::filesystem::path(database).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

Error end_of_damage(const std::string& who, const std::string& database, const SqliteError& error) {
  return {Errc::kDamaged, who + ": " + database + " is damaged (" + error.what() +
                              "). The broker ends; nodes go on offline. csa-broker check shows what"
                              " is lost, and csa-broker restore --from FILE makes a sound one of a"
                              " backup or a node's replica."};
}

Stores::Stores(const std::string& database, const LedgerOptions& options, const Log& log)
    : database_(database),
      spool_(folder_of(database)),
      log_(log),
      ledger_jobs_(kLedgerJobsMax),
      quick_jobs_(kQuickJobsMax),
      cut_jobs_(limits::kSnapshotsMax),
      check_jobs_(limits::kReaderJobsMax),
      answers_(kAnswersMax) {
  Archive::clear_spool(spool_);
  LedgerOptions own = options;
  if (own.spill_directory.empty()) own.spill_directory = spool_;
  own.progress = [this] { ledger_progress_.store(monotonic_now().time_since_epoch().count()); };
  own.begun = [this](std::uint64_t ticket) { ledger_begun_.store(ticket); };
  ledger_ = std::make_unique<Ledger>(database_, own, log_);
  const Meta& meta = ledger_->meta();
  time_ = ledger_->time();
  master_.scale = time_->scale();
  master_.db = meta.db;
  master_.head = meta.position;
  master_.floor = meta.floor;
  master_.schema_version = meta.schema_version;
  master_.log_bytes = ledger_->log_bytes();
  master_.database_bytes = database_bytes();
  const Database reader(database_, Database::Mode::kReadOnly);
  master_.counters = last_counters(reader);
  master_.forgotten_counter = OutcomeTable(reader).forgotten_counter();
  ledger_thread_ = std::thread([this] { guarded("ledger", [this] { run_ledger(); }); });
  quick_thread_ = std::thread([this] { guarded("archive", [this] { run_quick(); }); });
  check_thread_ = std::thread([this] { guarded("verifier", [this] { run_checks(); }); });
  cut_thread_ = std::thread([this] { guarded("archive", [this] { run_cuts(); }); });
}

Stores::~Stores() { stop(); }

void Stores::stop() {
  quick_jobs_.close();
  cut_jobs_.close();
  check_jobs_.close();
  for (std::thread* const thread : {&quick_thread_, &cut_thread_, &check_thread_}) {
    if (thread->joinable()) thread->join();
  }
  // Last: who only reads cannot write the -wal back, and would leave it beside the file.
  ledger_jobs_.close();
  if (ledger_thread_.joinable()) ledger_thread_.join();
}

void Stores::give(HubAction job) {
  bool taken = true;
  if (auto* const commit = std::get_if<CommitJob>(&job)) {
    taken = ledger_jobs_.push(std::move(*commit));
  } else if (auto* const confirm = std::get_if<ConfirmJob>(&job)) {
    taken = ledger_jobs_.push(std::move(*confirm));
  } else if (const auto* const retain = std::get_if<RetainJob>(&job)) {
    // Only the newest counts, so it takes no place in the queue.
    retained_.store(retain->from.value);
  } else if (auto* const log = std::get_if<LogJob>(&job)) {
    taken = quick_jobs_.push(std::move(*log));
  } else if (auto* const layout = std::get_if<LayoutJob>(&job)) {
    taken = quick_jobs_.push(std::move(*layout));
  } else if (auto* const outcome = std::get_if<OutcomeJob>(&job)) {
    taken = quick_jobs_.push(std::move(*outcome));
  } else if (auto* const chunk = std::get_if<ChunkJob>(&job)) {
    taken = quick_jobs_.push(std::move(*chunk));
  } else if (const auto* const drop = std::get_if<DropJob>(&job)) {
    taken = quick_jobs_.push(*drop);
  } else if (const auto* const digest = std::get_if<DigestJob>(&job)) {
    taken = check_jobs_.push(*digest);
  } else if (auto* const rows = std::get_if<RowsJob>(&job)) {
    taken = check_jobs_.push(std::move(*rows));
  } else if (std::holds_alternative<CutJob>(job)) {
    taken = cut_jobs_.push(CutJob{});
  }
  if (taken || fatal_) return;
  // The Hub bounds what is in flight below what the mailboxes hold; without an answer it would wait
  // for ever.
  fatal_ = Error{Errc::kFailed,
                 "stores: there is no room for a job. The broker ends, because what waits for it "
                 "would never go on; nothing that was acknowledged is affected. Start csa-broker "
                 "again."};
}

void Stores::answer_all(Hub& hub, TimePoint now) {
  for (std::size_t i = 0; i < limits::kAnswersTurn; ++i) {
    std::optional<Answer> answer = answers_.pop();
    if (!answer) return;
    (*answer)(hub, now);
  }
}

void Stores::post(Answer answer) {
  if (!answers_.push_beyond(std::move(answer))) log_.error("stores: the front takes no answers");
}

void Stores::guarded(const char* who, const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& error) {
    const auto* const sqlite = dynamic_cast<const SqliteError*>(&error);
    if (sqlite != nullptr && is_damage(*sqlite)) {
      const Error damage = end_of_damage(who, database_, *sqlite);
      post([this, damage](Hub&, TimePoint) { fatal_ = damage; });
      return;
    }
    const bool memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr;
    const std::string what =
        std::string(who) + ": " + (memory ? "no memory is left" : error.what()) +
        ". The broker ends, because only a restart can tell what the disk holds; nothing that was "
        "acknowledged is affected. " +
        (memory ? "Give it more memory" : "Check the disk of " + database_) +
        ", then start csa-broker again.";
    post([this, what](Hub&, TimePoint) { fatal_ = Error{Errc::kFailed, what}; });
  }
}

std::uint64_t Stores::database_bytes() const {
  std::error_code ignored;
  const auto bytes = std::filesystem::file_size(database_, ignored);
  return ignored ? 0 : bytes;
}

void Stores::run_ledger() {
  Duration pause = limits::kHeadInterval;
  while (true) {
    std::optional<LedgerJob> job = ledger_jobs_.wait_pop(pause);
    ledger_->retain(Seq{retained_.load()});
    if (job) {
      ledger_job(*job);
      continue;
    }
    if (ledger_jobs_.closed()) break;
    pause = ledger_->housekeeping() ? kHousekeepingPause : limits::kHeadInterval;
    const StoreState state{ledger_->meta().floor, ledger_->log_bytes(), database_bytes()};
    // Asked for by nobody: while the front has no time for it, the next one does as well.
    answers_.push([state](Hub& hub, TimePoint) { hub.on_stored(state); });
  }
  ledger_->close();
}

void Stores::ledger_job(LedgerJob& job) {
  if (const auto* const confirm = std::get_if<ConfirmJob>(&job)) {
    for (const auto& [node, counter] : confirm->counters) ledger_->confirm(node, counter);
    post([](Hub& hub, TimePoint) { hub.on_confirmed(); });
    return;
  }
  const CommitJob& commit = std::get<CommitJob>(job);
  for (const NodeId& node : commit.forget) ledger_->forget(node);
  for (const auto& [node, counter] : commit.confirm) ledger_->confirm(node, counter);
  auto result = std::make_shared<CommitResult>(ledger_->commit(commit.jobs));
  post([result](Hub& hub, TimePoint now) { hub.on_committed(*result, now); });
}

void Stores::run_quick() {
  Archive archive(database_, spool_, log_);
  while (true) {
    std::optional<QuickJob> job = quick_jobs_.wait_pop(limits::kHeadInterval);
    if (job) {
      quick_job(archive, *job);
    } else if (quick_jobs_.closed()) {
      return;
    }
  }
}

void Stores::quick_job(Archive& archive, QuickJob& job) {
  if (const auto* const log = std::get_if<LogJob>(&job)) {
    auto answer = std::make_shared<std::variant<LogSlice, LogGone>>(
        archive.read_log(log->request, log->through));
    post([peer = log->peer, answer](Hub& hub, TimePoint now) {
      hub.on_log(peer, std::move(*answer), now);
    });
  } else if (const auto* const layout = std::get_if<LayoutJob>(&job)) {
    post([peer = layout->peer, reply = archive.layout(layout->schema_version)](
             Hub& hub, TimePoint now) { hub.on_reply(peer, reply, now); });
  } else if (const auto* const outcome = std::get_if<OutcomeJob>(&job)) {
    const auto found = archive.outcome(outcome->tx);
    const Message reply = std::visit([](const auto& one) -> Message { return one; }, found);
    post(
        [peer = outcome->peer, reply](Hub& hub, TimePoint now) { hub.on_reply(peer, reply, now); });
  } else if (const auto* const chunk = std::get_if<ChunkJob>(&job)) {
    std::optional<Bytes> bytes =
        archive.read_chunk(chunk->snapshot, chunk->map, chunk->offset, chunk->length);
    auto answer = std::make_shared<SnapshotChunk>();
    answer->snapshot = chunk->snapshot;
    answer->map = chunk->map;
    answer->offset = chunk->offset;
    const bool found = bytes.has_value();
    if (found) answer->bytes = std::move(*bytes);
    post([peer = chunk->peer, answer, found](Hub& hub, TimePoint now) {
      hub.on_chunk(peer, std::move(*answer), found, now);
    });
  } else if (const auto* const drop = std::get_if<DropJob>(&job)) {
    archive.drop(drop->snapshot);
  } else if (auto* const spool = std::get_if<Spool>(&job)) {
    const Result<SnapshotInfo> info = spool->info();
    archive.keep(std::move(*spool));
    post([info](Hub& hub, TimePoint now) { hub.on_cut(info, now); });
  }
}

void Stores::run_checks() {
  set_thread_priority(ThreadPriority::kBackground);
  Verifier verifier(database_, log_);
  while (true) {
    const std::optional<CheckJob> job = check_jobs_.wait_pop(limits::kHeadInterval);
    if (!job && check_jobs_.closed()) return;
    if (!job) continue;
    if (const auto* const digest = std::get_if<DigestJob>(&*job)) {
      auto reply = std::make_shared<DigestReply>(
          verifier.digest(digest->request, digest->asked, monotonic_now()));
      post([peer = digest->peer, asked = digest->asked, reply](Hub& hub, TimePoint now) {
        hub.on_digest(peer, std::move(*reply), asked, now);
      });
      continue;
    }
    const RowsJob& rows = std::get<RowsJob>(*job);
    auto reply = std::make_shared<RowsReply>(verifier.rows(rows.request));
    post([peer = rows.peer, reply](Hub& hub, TimePoint now) {
      hub.on_rows(peer, std::move(*reply), now);
    });
  }
}

void Stores::run_cuts() {
  // A copy takes seconds anyway; writes and answers come first.
  set_thread_priority(ThreadPriority::kBackground);
  Archive archive(database_, spool_, log_);
  while (true) {
    const std::optional<CutJob> job = cut_jobs_.wait_pop(limits::kHeadInterval);
    if (job) {
      const Result<SnapshotInfo> info = archive.cut();
      if (!info) {
        post([info](Hub& hub, TimePoint now) { hub.on_cut(info, now); });
        continue;
      }
      // Handed out by the other archive from now on, which answers: so one at a time waits there.
      if (!quick_jobs_.push_beyond(archive.release(info->id))) return;  // the broker ends
    } else if (cut_jobs_.closed()) {
      return;
    }
  }
}

}  // namespace csa
