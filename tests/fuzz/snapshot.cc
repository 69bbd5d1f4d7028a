// A full copy with bytes changed, in chunks of any order and size: refused in words, or installed;
// then the replica is a database that says of itself what the broker's END said.
#include <algorithm>

#include "node/download.h"
#include "node/install.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/hand_master.h"
#include "tests/support/scratch_folder.h"

namespace csa::fuzz::snapshot_target {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT); CREATE INDEX named ON part (name);"
    "INSERT INTO part VALUES (1, 'bolt'), (2, 'nut')";

struct Bench {
  ScratchFolder folder;
  HandMaster master{folder.path(), kSchema, "PRAGMA page_size=512"};
  HandMaster::Copy good = master.copy();
  std::string path = folder.file("replica.db");
};

Bytes hostile_copy(fuzz::Choices& input, const Bytes& good) {
  Bytes bytes = good;
  for (std::size_t n = input.below(8); n > 0; --n) {
    // Half of them in the pages' headers, where it hurts.
    std::size_t at = static_cast<std::size_t>(input.byte()) * 512 + input.byte();
    if (at % 512 > 100 && input.below(2) == 0) at = at / 512 * 512 + at % 100;
    const ByteView put = input.take(1 + input.below(8));
    for (std::size_t i = 0; i < put.size() && at < bytes.size(); ++i) {
      bytes[(at + i) % bytes.size()] = put[i];
    }
  }
  if (input.below(4) == 1) bytes.resize(bytes.size() - std::min(bytes.size(), input.below(256)));
  return bytes;
}

}  // namespace

CSA_FUZZ_TARGET(snapshot) {
  static std::unique_ptr<Bench> bench;
  if (!bench) bench = std::make_unique<Bench>();
  fuzz::Choices input({data, size});
  const Bytes bytes = hostile_copy(input, bench->good.bytes);
  SnapshotEnd end = bench->good.end;
  end.total = bytes.size();
  end.hash = hash128(bytes);
  Download download(bench->path);
  (void)download.begin(end.snapshot, end.total);
  for (std::size_t at = 0; at < bytes.size();) {
    if (input.below(4) == 3) download.write(input.byte() * 1000, input.take(input.below(64)));
    const std::size_t length = std::min(bytes.size() - at, 5000 + input.byte() * std::size_t{99});
    const ByteView chunk = ByteView(bytes).subspan(at, length);
    download.write(at, chunk);
    fuzz::prove(download.holds(at, length, hash64(chunk)), "snapshot: a chunk was not taken");
    at += length;
  }
  if (!download.finish(end)) {
    // What was put out of order was taken for a chunk.
    fuzz::prove(!download.active(), "snapshot: refused, and still open");
    download.drop();
    return 0;
  }
  try {
    CopyExpectation expected;
    expected.position = end.position;
    expected.identity.node = NodeId{hash128(as_bytes("a node"))};
    expected.identity.app = "csa";
    expected.identity.group = "shop";
    const Result<Meta> meta = prepare_copy(download.path(), expected);
    fuzz::prove(meta.has_value() || !meta.error().what.empty(), "snapshot: refused without words");
    if (meta) {
      fuzz::prove(meta->position == end.position, "snapshot: another position");
      const Database db(download.path(), Database::Mode::kReadOnly);
      fuzz::prove(read_meta(db)->position == end.position, "snapshot: the file says another one");
    }
  } catch (const SqliteError& error) {
    fuzz::prove(error.code() != SQLITE_MISUSE, "snapshot: misuse");
  }
  download.drop();
  for (const char* const tail : {"-wal", "-shm", "-journal"}) {
    std::remove((download.path() + tail).c_str());
  }
  return 0;
}

}  // namespace csa::fuzz::snapshot_target
