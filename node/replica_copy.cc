// What of a full copy is here already.

#include <memory>
#include <optional>

#include "common/page_map.h"
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
  // Without an applier there is no copy here, or its file is not open.
  if (!local_pages && applier) {
    try {
      checkpoint();  // what the -wal holds is not looked at
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
      const std::optional<ByteView> bytes =
          local_pages ? local_pages->find(page, hash) : std::nullopt;
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
