#include "broker/replay_parts.h"

#include <algorithm>

#include "common/limits.h"

namespace csa {

std::optional<ReplayParts::Taken> ReplayParts::take(const Replay& part) {
  const TxId& tx = part.header.tx;
  auto entry = std::find_if(entries_.begin(), entries_.end(),
                            [&](const Entry& known) { return known.tx.node == tx.node; });
  const bool same = entry != entries_.end() && entry->tx == tx &&
                    entry->checksum == part.checksum && entry->size == part.header.size;
  if (!same) {
    if (part.offset != 0) return std::nullopt;
    if (entry != entries_.end()) entries_.erase(entry);
    if (entries_.size() >= kNodesMax) entries_.pop_back();
    entries_.push_front({tx, part.checksum, part.header.size,
                         std::make_unique<Spill>(directory_, limits::kPieceMax)});
    entry = entries_.begin();
  }
  entries_.splice(entries_.begin(), entries_, entry);
  Spill& bytes = *entry->bytes;
  if (part.offset > bytes.size()) return std::nullopt;
  if (part.offset == bytes.size()) bytes.append(part.bytes);
  return Taken{bytes.size(), bytes.size() == entry->size ? &bytes : nullptr};
}

void ReplayParts::drop(const NodeId& node) {
  entries_.remove_if([&](const Entry& known) { return known.tx.node == node; });
}

}  // namespace csa
