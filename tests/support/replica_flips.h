// A replica with an offline change in it, opened anew with one bit of its file kept wrongly.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/journal.h"
#include "common/random.h"
#include "common/store_meta.h"
#include "common/system_clock.h"
#include "node/identity.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa {

class FlippedReplica {
 public:
  static constexpr std::size_t kPage = 4096;

  FlippedReplica() {
    add_epoch(master_.db(), {Epoch{1, random_id()}, Position{}, wall_now()});
    add_epoch(master_.db(), {Epoch{2, random_id()}, Position{}, wall_now()});
    std::unique_ptr<Replica> replica = open_replica(path_);
    (void)take_copy(*replica, master_.copy()).value();
    OfflineWrite write;
    write.write.tx = {replica->state().node, replica->reserve_counters()};
    write.write.sql = "UPDATE t SET v = v + 1";
    (void)replica->write_offline(write).value();
    right_ = replica->state();
    replica.reset();
    const Database db(path_, Database::Mode::kReadWrite);
    entries_ = entries_in(db).value();
    (void)db.query_int("PRAGMA wal_checkpoint(TRUNCATE)");
    Statement tables = db.prepare(
        "SELECT name, rootpage FROM sqlite_schema WHERE type = 'table' AND name LIKE 'csa%'");
    while (tables.step()) {
      pages_[tables.column_text(0)] = static_cast<std::size_t>(tables.column_int(1) - 1) * kPage;
    }
    tables.reset();
    std::ifstream in(path_, std::ios::binary);
    sound_.assign(std::istreambuf_iterator<char>(in), {});
  }

  // Offsets of the first pages of csa's tables, by name, in the file.
  [[nodiscard]] const std::map<std::string, std::size_t>& pages() const { return pages_; }
  [[nodiscard]] const std::string& sound() const { return sound_; }

  // In a word or two what came of it; what begins with "WRONG" must not be.
  [[nodiscard]] std::string open_with(std::size_t at, unsigned bit) const {
    std::string bytes = sound_;
    bytes[at] = static_cast<char>(static_cast<unsigned char>(bytes[at]) ^ (1U << bit));
    for (const char* const suffix : {"-wal", "-shm"}) std::filesystem::remove(path_ + suffix);
    write_file(path_, bytes);
    std::string told;
    const Log log(LogLevel::kWarn, [&told](LogLevel, std::string_view line) { told += line; });
    const auto opened = Replica::open(path_, "csa", "shop", log);
    return opened ? came_of(**opened, told) : came_of(opened.error());
  }

 private:
  [[nodiscard]] std::string came_of(const Replica& replica, const std::string& told) const {
    const ReplicaState& is = replica.state();
    if (is.node != right_.node || is.db != right_.db || is.counter < right_.counter ||
        is.schema_version != right_.schema_version ||
        is.generation_seen != right_.generation_seen) {
      return "WRONG, taken for another: " + told;
    }
    const Database db(path_, Database::Mode::kReadOnly);
    const bool marked = !read_identity(db).value().value().damage.empty();
    if (is.journal.waiting == 0) return marked ? "marked" : "WRONG, nothing waits: " + told;
    const Result<std::vector<Replay>> entries = entries_in(db);
    if (!entries) return "entry refused";
    if (!is_same(*entries, entries_)) return "WRONG, another entry: " + told;
    // The broker's chain tells them apart.
    if (is.position != right_.position) return "another place";
    if (marked) return "marked";
    return told.empty() ? "as it was" : "put right";
  }
  [[nodiscard]] static std::string came_of(const Error& error) {
    const bool way = error.what.find("mv ") != std::string::npos;
    const bool kept = error.what.find("csa-node journal") != std::string::npos ||
                      error.what.find("keep the file") != std::string::npos;
    if (!way || !kept) return "WRONG, refused: " + error.what;
    return "refused";
  }

  // As they are handed over.
  [[nodiscard]] static Result<std::vector<Replay>> entries_in(const Database& db) {
    return Journal(db).read(0, 0, 1'000'000);
  }
  // The checksum is over header and changes, and is proved as they are read.
  [[nodiscard]] static bool is_same(const std::vector<Replay>& a, const std::vector<Replay>& b) {
    return std::ranges::equal(a, b, [](const Replay& x, const Replay& y) {
      return x.bytes == y.bytes && x.checksum == y.checksum && x.header.tx == y.header.tx &&
             x.first == y.first && x.previous == y.previous;
    });
  }

  ScratchFolder folder_;
  HandMaster master_{folder_.path(),
                     "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO t VALUES "
                     "(1, 0)"};
  std::string path_ = folder_.file("r.db");
  ReplicaState right_;
  std::vector<Replay> entries_;
  std::map<std::string, std::size_t> pages_;
  std::string sound_;
};

}  // namespace csa
