// The ledger's view of its WAL: was it written by somebody else, how large is it, checkpoints.
// Belongs to the thread of its Database and must be gone before it.
#pragma once

#include <cstdint>

#include "common/sqlite.h"

namespace csa {

class WalWatch {
 public:
  // REQUIRES: `db` outlives this, is in WAL mode and has no other WAL hook.
  explicit WalWatch(const Database& db);
  ~WalWatch();
  WalWatch(const WalWatch&) = delete;
  WalWatch& operator=(const WalWatch&) = delete;

  // First thing of every transaction. True: somebody else has committed since our last one.
  // REQUIRES: the write lock is held.
  [[nodiscard]] bool written_by_others();
  // After our own COMMIT that changed something; the state that written_by_others() saw counts.
  void committed();

  // Pages that wait for a checkpoint.
  [[nodiscard]] int pages() const { return pages_; }
  // Never waits for readers; what they hold back stays for the next call.
  void checkpoint();
  // The file alone becomes the database, where no reader is in the way.
  void checkpoint_all();

 private:
  const Database& db_;
  Statement data_version_;
  std::int64_t version_ = 0;
  std::int64_t seen_version_ = 0;
  std::uint32_t changes_ = 0;
  std::uint32_t seen_changes_ = 0;
  bool begun_ = false;
  int pages_ = 0;
};

}  // namespace csa
