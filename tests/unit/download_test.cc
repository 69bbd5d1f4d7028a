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

TEST_CASE("download: another process goes on with the same snapshot, begins where the file ends") {
  const ScratchFolder folder;
  const Bytes bytes = some_bytes(10'000);
  {
    Download first(folder.file("r.db"));
    CHECK(first.begin(kSnapshot, bytes.size()) == 0);
    write_from(first, bytes, 0, 4'000);
  }
  Download second(folder.file("r.db"));
  CHECK(second.begin(kSnapshot, bytes.size()) == 4'000);
  write_from(second, bytes, 4'000, 10'000);
  CHECK(second.finish(end_of(bytes)).has_value());
}

TEST_CASE("download: another snapshot or length than before, begins at zero") {
  const ScratchFolder folder;
  const Bytes bytes = some_bytes(10'000);
  Download download(folder.file("r.db"));
  CHECK(download.begin(kSnapshot, bytes.size()) == 0);
  write_from(download, bytes, 0, 4'000);
  CHECK(download.begin(kSnapshot, bytes.size()) == 4'000);
  CHECK(download.begin(kSnapshot, bytes.size() + 1) == 0);
  write_from(download, bytes, 0, 4'000);
  CHECK(download.begin(hash128(as_bytes("another")), bytes.size()) == 0);
}

TEST_CASE("download: repeated, late and too long chunks, only what follows is kept") {
  const ScratchFolder folder;
  const Bytes bytes = some_bytes(10'000);
  Download download(folder.file("r.db"));
  CHECK(download.begin(kSnapshot, bytes.size()) == 0);
  write_from(download, bytes, 0, 4'000);
  write_from(download, bytes, 1'000, 3'000);
  CHECK(download.size() == 4'000);
  write_from(download, bytes, 5'000, 6'000);
  CHECK(download.size() == 4'000);
  download.write(4'000, some_bytes(7'000));
  CHECK(download.size() == 4'000);
  write_from(download, bytes, 3'000, 10'000);
  CHECK(download.finish(end_of(bytes)).has_value());
}

TEST_CASE("download: one wrong bit, refused as damaged and every trace removed") {
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

TEST_CASE("download: a crash after the end was proved, a new one begins at zero") {
  const ScratchFolder folder;
  const Bytes bytes = some_bytes(10'000);
  {
    Download download(folder.file("r.db"));
    CHECK(download.begin(kSnapshot, bytes.size()) == 0);
    write_from(download, bytes, 0, bytes.size());
    CHECK(download.finish(end_of(bytes)).has_value());
  }
  Download download(folder.file("r.db"));
  CHECK(download.begin(kSnapshot, bytes.size()) == 0);
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
