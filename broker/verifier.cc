#include "broker/verifier.h"

#include <chrono>
#include <utility>

#include "common/digest_scan.h"
#include "common/limits.h"
#include "common/store_meta.h"

namespace csa {
namespace {

constexpr std::size_t kDigestsKept = 2;
constexpr std::chrono::seconds kFreshFor{60};
constexpr int kScansMax = 3;
constexpr std::size_t kSumBytes = 24;

Database open_verified(const std::string& path) {
  Database db(path, Database::Mode::kReadOnly);
  // Checkpoints belong to the ledger's connection alone, also the one at the end.
  sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  db.exec("PRAGMA query_only=ON");
  return db;
}

}  // namespace

Verifier::Verifier(const std::string& path, const Log& log) : db_(open_verified(path)), log_(log) {}

Result<Digest> Verifier::scan() {
  Error last;
  for (int i = 0; i < kScansMax; ++i) {
    DigestScan scan(db_);
    while (true) {
      const Result<bool> done = scan.step({});
      if (done && *done) return scan.digest();
      if (done) continue;
      last = done.error();
      break;
    }
  }
  return last;
}

DigestReply Verifier::digest(std::uint64_t request, bool fresh, TimePoint now) {
  if (fresh || kept_.empty() || now - kept_.back().at > kFreshFor) {
    Result<Digest> read = scan();
    if (!read) {
      log_.warn("verifier: the master's digest was not read: " + read.error().what);
      return {request, 0, {}, {}, {}, "The master was not read: " + read.error().what + "."};
    }
    kept_.push_back({std::move(*read), now});
    if (kept_.size() > kDigestsKept) kept_.pop_front();
  }
  const Digest& digest = kept_.back().digest;
  std::size_t bytes = 0;
  for (const TableDigest& table : digest.tables) bytes += table.name.size() + 2 * kSumBytes;
  if (bytes > limits::kFrameMax / 2) {
    return {request, 0, {}, {}, {}, "There are more tables than one message holds."};
  }
  return {request, 0, digest.position, digest.fingerprint, table_sums(digest), ""};
}

RowsReply Verifier::rows(const RowsGet& request) {
  RowsReply reply{request.request, request.position, {}, ""};
  if (request.buckets.empty()) {
    for (const Kept& kept : kept_) {
      const TableDigest* const table = kept.digest.find(request.table);
      if (kept.digest.position != request.position || table == nullptr) continue;
      reply.rows = bucket_sums(*table);
      return reply;
    }
    reply.text = "This digest is no longer here: ask for a new one.";
    return reply;
  }
  const ReadTransaction view(db_);
  const Result<Meta> meta = read_meta(db_);
  if (!meta) throw SqliteError(SQLITE_CORRUPT, meta.error().what);
  reply.position = meta->position;
  auto rows = row_sums(db_, request.table, request.buckets, kRowSumBytesMax);
  if (rows) {
    reply.rows = std::move(*rows);
  } else {
    reply.text = "There are too many rows for one answer.";
  }
  return reply;
}

}  // namespace csa
