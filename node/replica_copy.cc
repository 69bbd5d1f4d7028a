// Full copies: what of one is here already, and how it takes the replica's place.
#include <algorithm>
#include <utility>

#include "common/check.h"
#include "common/counted.h"
#include "common/page_map.h"
#include "common/planted.h"
#include "common/schema.h"
#include "common/store_meta.h"
#include "node/install.h"
#include "node/replica_impl.h"

namespace csa {
namespace {

void add_missing(CopyPlan& plan, const CopyRange& range) {
  if (!plan.missing.empty()) {
    CopyRange& last = plan.missing.back();
    if (last.offset + last.length == range.offset) {
      last.length += range.length;
      return;
    }
  }
  plan.missing.push_back(range);
}

}  // namespace

bool Replica::Impl::begin_download(const Id128& snapshot, std::uint64_t total,
                                   std::uint32_t page_size) {
  local_pages.reset();
  planned = false;
  copy_page_size = page_size;
  const std::uint64_t earlier = download.begin(snapshot, total);
  const bool mapped = page_size != 0 && !distrusts_map;
  const bool here = mapped && (applier != nullptr || earlier > 0);
  std::string how = "in full: nothing of it is here";
  if (here) {
    how = "by its difference from what is here: " +
          (applier ? "the replica at " + to_string(*state.position) : std::string("no replica")) +
          ", " + std::to_string(earlier) + " bytes of an earlier download";
  } else if (applier != nullptr || earlier > 0) {
    how = mapped ? "in full" : "in full: it has no page map that can be relied on";
  }
  log.info("replica: the copy " + to_string(snapshot) + " (" + std::to_string(total) +
           " bytes) is taken " + how);
  return here;
}

CopyPlan Replica::Impl::plan_copy(std::uint64_t first_page, ByteView hashes) {
  planned = true;
  if (!local_pages) {
    try {
      if (applier) checkpoint();  // what the -wal holds is not looked at
    } catch (const SqliteError& error) {
      log.warn("replica: before its pages are compared: " + std::string(error.what()));
    }
    local_pages = std::make_unique<LocalPages>(db, copy_page_size);
  }
  CopyPlan plan;
  for (std::size_t i = 0; i < hashes.size() / kPageHash; ++i) {
    const std::uint64_t page = first_page + i;
    const std::uint64_t offset = page * copy_page_size;
    const std::uint64_t hash = page_hash(hashes, i);
    if (!download.holds(offset, copy_page_size, hash)) {
      const std::optional<ByteView> bytes = local_pages->find(page, hash);
      if (!bytes) {
        add_missing(plan, {offset, copy_page_size});
        continue;
      }
      download.write(offset, *bytes);
    }
    plan.here += copy_page_size;
  }
  return plan;
}

Result<Applied> Replica::Impl::install(const SnapshotEnd& end) {
  local_pages.reset();
  if (const Status whole = download.finish(end); !whole) {
    // By the map it was whole: the map may be wrong, or a page here have the hash of another.
    distrusts_map = planned;
    if (planned) download.drop();
    return whole.error();
  }
  CSA_CHECK(journal.waiting == 0);  // what was made here would be lost
  writer.reset();
  const Result<Meta> meta = prepare_copy(
      download.path(), {end.position, state.db, identity, outcomes_to_keep(), commits_of(db)});
  if (!meta) {
    log.warn("replica: " + meta.error().what);
    download.drop();
    return meta.error();
  }
  crash_point("install: copy prepared");
  const bool schema_changed = !applier || applier->meta().fingerprint != meta->fingerprint;
  const bool outside_writer = read_data_version() != data_version;
  Applied done;
  std::optional<Fork> fork;
  if (applier) {
    if (outside_writer) done.kept_why = "another program has written to it";
    if (!identity.damage.empty()) done.kept_why = identity.damage;
    fork = fork_of(db, applier->meta().position, download.path());
    if (fork) done.kept_why = fork->why;
  }
  if (!done.kept_why.empty()) {
    done.kept_as = keep_aside(db, name.path);
    crash_point("install: kept aside");
    const bool sound = !outside_writer && identity.damage.empty();
    if (sound && fork && fork->common) done.kept_why += offer({done.kept_as, *fork->common});
    log.warn("replica: what was in " + name.path + " is kept as " + done.kept_as + ": " +
             done.kept_why);
  }
  {
    const SyncedCommits synced(db);
    if (!copy_into(db, download.path())) replace_by_copy();
  }
  crash_point("install: copied");
  reload();
  download.drop();
  distrusts_map = false;
  crash_point("install: download dropped");
  // The whole copy went through the WAL; give its space back where no reader is in the way.
  checkpoint_all(db);
  wal_pages = 0;
  log.info("replica: full copy installed (" + to_string(*state.position) + ")");
  done.state = state;
  done.tables = shared_tables(db);
  done.schema_changed = schema_changed;
  return done;
}

std::vector<JournalOutcome> Replica::Impl::outcomes_to_keep() const {
  try {
    return Journal(db).read_outcomes();
  } catch (const SqliteError& error) {
    if (!is_damage(error)) throw;
    log.warn("replica: what became of earlier offline changes cannot be read: " +
             std::string(error.what()));
    return {};
  }
}

// What the master has lost goes into the journal of the copy. What became of that, for people.
std::string Replica::Impl::offer(const LostHistory& lost) {
  try {
    const Result<LostOffer> offered = offer_lost(lost, download.path());
    if (!offered) return "; what it has lost cannot be offered to it: " + offered.error().what;
    std::string text;
    if (offered->entries != 0) {
      text = "; " +
             counted(offered->entries, "transaction that it has lost is",
                     "transactions that it has lost are") +
             " offered to it: csa-admin recover";
    }
    if (offered->left != 0) {
      text += "; " + counted(offered->left, "more is", "more are") +
              " in the kept file only: " + offered->why_left;
    }
    if (offered->inbox != 0) {
      text += "; " +
              counted(offered->inbox, "open row of its conflict inbox is",
                      "open rows of its conflict inbox are") +
              " in the kept file only: SELECT * FROM"
              " csa_conflicts WHERE state = 'open' AND seq > " +
              std::to_string(lost.common.value);
    }
    return text;
  } catch (const std::exception& error) {
    // The disk: a full copy may still find room, and the kept file has it all.
    return "; what it has lost cannot be offered to it: " + std::string(error.what());
  }
}

void Replica::Impl::replace_by_copy() {
  log.info("replica: the full copy has another page size or text encoding: " + name.path +
           " is replaced by a new file; programs that have it open must open it again");
  checkpoint_all(db);
  writer.reset();
  applier.reset();
  commits.reset();
  db.close();
  replace_file(name.path, download.path());
  db = open_replica_database(name.path);
}

bool Replica::begin_download(const Id128& snapshot, std::uint64_t total, std::uint32_t page_size) {
  return impl_->begin_download(snapshot, total, page_size);
}

CopyPlan Replica::plan_copy(std::uint64_t first_page, ByteView hashes) {
  return impl_->plan_copy(first_page, hashes);
}

void Replica::write_chunk(std::uint64_t offset, ByteView bytes) {
  impl_->download.write(offset, bytes);
}

Result<Applied> Replica::install(const SnapshotEnd& end) {
  try {
    return impl_->guarded([&] { return impl_->install(end); });
  } catch (const SqliteError&) {
    // Its space may be what the disk lacks; the next try fetches it anew.
    impl_->download.drop();
    throw;
  }
}

void Replica::drop_download() {
  impl_->local_pages.reset();
  impl_->download.drop();
}

}  // namespace csa
