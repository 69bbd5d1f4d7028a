// The pages of a replica's file as they lie there (what its -wal holds is not looked at), found by
// their hashes: wherever a page of the master's file lies in the replica's, it need not travel.
// Reads through the connection's own file handle, for SQLite's locks would end with another one.
// One thread, that of the connection.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/bytes.h"
#include "common/sqlite.h"

namespace csa {

class LocalPages {
 public:
  // Reads the whole file once; 12 bytes of memory a page, of the first kPagesMax. A file whose
  // pages have another size, and parts that cannot be read, have none. `db` must outlive this.
  LocalPages(const Database& db, std::uint32_t page_size);
  static constexpr std::uint64_t kPagesMax = std::uint64_t{1} << 22U;

  // A page with this hash, the one at `place` if it has it, as it is in the file now; valid until
  // the next call. Nothing: there is none.
  [[nodiscard]] std::optional<ByteView> find(std::uint64_t place, std::uint64_t hash);

 private:
  void index(std::uint64_t file_bytes);
  [[nodiscard]] bool read(std::uint64_t offset, std::size_t bytes);
  [[nodiscard]] std::optional<std::uint64_t> page_with(std::uint64_t place,
                                                       std::uint64_t hash) const;

  sqlite3_file* file_ = nullptr;
  std::uint32_t page_size_;
  Bytes buffer_;
  std::vector<std::uint64_t> hashes_;  // by page
  std::vector<std::uint32_t> order_;   // pages, by their hashes
};

}  // namespace csa
