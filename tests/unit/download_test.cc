#include "node/download.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "common/sqlite.h"
#include "tests/support/scratch_folder.h"

namespace csa::download_test {
namespace {

const Id128 kSnapshot = hash128(as_bytes("a snapshot"));

Bytes some_bytes(std::size_t size) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(i * 31 + i / 251);
  return bytes;
}

SnapshotEnd end_of(const Bytes& bytes) {
  SnapshotEnd end;
  end.snapshot = kSnapshot;
  end.total = bytes.size();
  end.hash = hash128(bytes);
  return end;
}

void write_from(Download& download, const Bytes& bytes, std::size_t from, std::size_t to) {
  download.write(from, ByteView(bytes).subspan(from, to - from));
}

}  // namespace

TEST_CASE("download: all chunks in order, the file holds them and its hash is proved") {
  const ScratchFolder folder;
  const Bytes bytes = some_bytes(3'000'000);
  Download download(folder.file("r.db"));
  CHECK(download.begin(kSnapshot, bytes.size()) == 0);
  for (std::size_t at = 0; at < bytes.size(); at += 250'000) {
    write_from(download, bytes, at, at + 250'000);
  }
  CHECK(download.finish(end_of(bytes)).has_value());
  CHECK(std::filesystem::file_size(download.path()) == bytes.size());
  CHECK(!download.active());
}

TEST_CASE("download: another process, what was written is known again, nothing else") {
  const ScratchFolder folder;
  const Bytes bytes = some_bytes(10'000);
  const auto hash = [&](std::size_t at, std::size_t length) {
    return hash64(ByteView(bytes).subspan(at, length));
  };
  {
    Download first(folder.file("r.db"));
    CHECK(first.begin(kSnapshot, bytes.size()) == 0);
    CHECK_FALSE(first.holds(0, 1'000, hash(0, 1'000)));
    write_from(first, bytes, 6'000, 8'000);
    write_from(first, bytes, 0, 4'000);
    CHECK(first.holds(0, 1'000, hash(0, 1'000)));
  }
  Download second(folder.file("r.db"));
  // Of another snapshot: its bytes may be the same.
  CHECK(second.begin(hash128(as_bytes("another")), bytes.size()) == 8'000);
  CHECK(second.holds(1'000, 3'000, hash(1'000, 3'000)));
  CHECK(second.holds(6'000, 2'000, hash(6'000, 2'000)));
  CHECK_FALSE(second.holds(1'000, 3'000, hash(1'001, 3'000)));
  CHECK_FALSE(second.holds(4'000, 2'000, hash(4'000, 2'000)));
  CHECK_FALSE(second.holds(8'000, 2'000, hash(8'000, 2'000)));
  write_from(second, bytes, 4'000, 6'000);
  write_from(second, bytes, 8'000, 10'000);
  SnapshotEnd end = end_of(bytes);
  end.snapshot = hash128(as_bytes("another"));
  CHECK(second.finish(end).has_value());
}

TEST_CASE("download: a shorter copy than the one before, the file is cut to it") {
  const ScratchFolder folder;
  const Bytes bytes = some_bytes(10'000);
  Download download(folder.file("r.db"));
  (void)download.begin(kSnapshot, bytes.size());
  write_from(download, bytes, 0, 10'000);
  CHECK(download.begin(kSnapshot, 4'000) == 4'000);
  const Bytes part(bytes.begin(), bytes.begin() + 4'000);
  CHECK(download.finish(end_of(part)).has_value());
}

TEST_CASE("download: chunks in any order, twice, and too long, what goes beyond it is not kept") {
  const ScratchFolder folder;
  const Bytes bytes = some_bytes(10'000);
  Download download(folder.file("r.db"));
  CHECK(download.begin(kSnapshot, bytes.size()) == 0);
  write_from(download, bytes, 3'000, 10'000);
  write_from(download, bytes, 5'000, 6'000);
  download.write(4'000, some_bytes(7'000));
  download.write(~std::uint64_t{0} - 10, some_bytes(100));
  write_from(download, bytes, 0, 4'000);
  CHECK(download.finish(end_of(bytes)).has_value());
}

TEST_CASE("download: one wrong bit, refused as damaged, mended by what was wrong alone") {
  const ScratchFolder folder;
  Bytes bytes = some_bytes(10'000);
  const SnapshotEnd end = end_of(bytes);
  bytes[5'000] ^= 1;
  Download download(folder.file("r.db"));
  CHECK(download.begin(kSnapshot, bytes.size()) == 0);
  write_from(download, bytes, 0, bytes.size());
  const Status finished = download.finish(end);
  REQUIRE(!finished);
  CHECK(finished.error().code == Errc::kDamaged);
  CHECK(download.begin(kSnapshot, bytes.size()) == bytes.size());
  bytes[5'000] ^= 1;
  write_from(download, bytes, 5'000, 5'001);
  CHECK(download.finish(end).has_value());
  download.drop();
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("download: the end comes too early, refused as damaged") {
  const ScratchFolder folder;
  const Bytes bytes = some_bytes(10'000);
  Download download(folder.file("r.db"));
  CHECK(download.begin(kSnapshot, bytes.size()) == 0);
  write_from(download, bytes, 0, 9'999);
  const Status finished = download.finish(end_of(bytes));
  REQUIRE(!finished);
  CHECK(finished.error().code == Errc::kDamaged);
  CHECK(finished.error().what.find("9999 of 10000") != std::string::npos);
}

TEST_CASE("download: the disk is full, SQLITE_FULL with a sentence") {
  const ScratchFolder folder;
  const Bytes bytes = some_bytes(10'000);
  {
    Download download(folder.file("r.db"));
    CHECK(download.begin(kSnapshot, bytes.size()) == 0);
  }
  std::filesystem::remove(folder.file("r.db-csa-copy"));
  std::filesystem::create_symlink("/dev/full", folder.file("r.db-csa-copy"));
  Download download(folder.file("r.db"));
  CHECK(download.begin(kSnapshot, bytes.size()) == 0);
  try {
    write_from(download, bytes, 0, bytes.size());
    FAIL("a full disk went unnoticed");
  } catch (const SqliteError& error) {
    CHECK(error.primary_code() == SQLITE_FULL);
    CHECK(std::string(error.what()).find("free space") != std::string::npos);
  }
}

}  // namespace csa::download_test
