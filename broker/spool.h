// A full copy of the database at one state, as a file of its own that is handed out by ranges and
// removed with its owner. Behind it in that file lies its page map: hash64 of every page in order,
// 8 bytes each, little-endian, by which a node finds out what of the copy it has already. One
// thread at a time: it may move to another together with its file.
#pragma once

#include <optional>
#include <string>

#include "broker/jobs.h"
#include "common/result.h"
#include "common/sqlite.h"

namespace csa {

class Spool {
 public:
  // Copies what `source` sees into directory/ID.csa-spool; csa_private is empty in the copy. The
  // source is read inside one transaction, so the copy is one state and never starts over; writers
  // go on. Error: the spool's disk (full, not writable) or a source without sound csa tables;
  // nothing is left behind then. Other errors of the source are thrown.
  [[nodiscard]] static Result<Spool> cut(const Database& source, const std::string& directory);
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;
  Spool(Spool&& other) noexcept;
  Spool& operator=(Spool&& other) noexcept;
  ~Spool();  // closes and unlinks the file

  [[nodiscard]] const SnapshotInfo& info() const { return info_; }
  // Of the copy, or of its map. Fewer bytes only at the end; nothing: a page is not what was cut,
  // or its hash in the map is not. Throws std::system_error.
  [[nodiscard]] std::optional<Bytes> read(bool map, std::uint64_t offset, std::size_t length) const;

  // Removes what a broker that died has left in the directory.
  static void clear(const std::string& directory);

 private:
  explicit Spool(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] Status fill(const Database& source);
  [[nodiscard]] Status measure();
  [[nodiscard]] Status add_map(ByteView map) const;
  [[nodiscard]] bool is_as_cut(std::uint64_t offset, ByteView bytes) const;
  [[nodiscard]] Bytes read_at(std::uint64_t start, std::size_t size) const;

  std::string path_;
  int file_ = -1;
  SnapshotInfo info_;
};

}  // namespace csa
