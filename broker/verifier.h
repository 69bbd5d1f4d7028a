// What the master holds, for nodes that compare themselves with it: digests, and sums of single
// rows. With a connection of its own that never writes; one thread, which has time. Throws
// SqliteError.
#pragma once

#include <deque>
#include <string>

#include "common/digest.h"
#include "common/log.h"
#include "common/message.h"
#include "common/sqlite.h"
#include "common/types.h"

namespace csa {

class Verifier {
 public:
  Verifier(const std::string& path, const Log& log);  // log must outlive this

  // Of now, where `fresh`; else one that was read within the last minute will do.
  [[nodiscard]] DigestReply digest(std::uint64_t request, bool fresh, TimePoint now);
  [[nodiscard]] RowsReply rows(const RowsGet& request);

 private:
  struct Kept {
    Digest digest;
    TimePoint at;
  };
  [[nodiscard]] Result<Digest> scan();

  const Database db_;
  const Log& log_;
  std::deque<Kept> kept_;  // the newest one last
};

}  // namespace csa
