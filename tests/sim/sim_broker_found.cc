// What a simulated broker finds in its database after a crash.
#include <algorithm>

#include "common/log_entry.h"
#include "common/sqlite.h"
#include "tests/sim/checkers.h"
#include "tests/sim/sim_broker.h"

namespace csa::sim {
namespace {

// Everything that was handed over or was committed as a write, as far as its outcome is kept; what
// the commit merged is among it, also where the log has no entry of it, or no longer has one.
std::vector<TxId> settled(const Database& db) {
  std::vector<TxId> all;
  Statement rows =
      db.prepare("SELECT node, counter FROM csa_outcome WHERE replay <> 0 OR code = 0");
  while (rows.step()) {
    TxId tx;
    const Bytes node = rows.column_blob(0);
    std::copy_n(node.begin(), tx.node.value.bytes.size(), tx.node.value.bytes.begin());
    tx.counter = static_cast<std::uint64_t>(rows.column_int(1));
    all.push_back(tx);
  }
  return all;
}

}  // namespace

// What a commit has left that it died in: nobody was told, and it counts from now on. A commit need
// not move the position, and a master that was restored has taken in the journal of the file that
// it comes from.
void SimBroker::tell_found(const Position& position) {
  const Position before = std::exchange(told_, position);
  const Database db(database_, Database::Mode::kReadOnly);
  if (on_found) on_found(position, settled(db));
  if (before.epoch != position.epoch || before.seq == position.seq || !on_commit) return;
  if (before.seq > position.seq) {
    throw Violation("the master was at " + to_string(before) + " and is at " + to_string(position) +
                    " after a crash");
  }
  CommitResult found;
  found.head = position;
  LogTable log(db);
  for (Seq seq = before.seq.next(); seq <= position.seq; seq = seq.next()) {
    const auto entry = log.entry(seq);
    if (!entry) continue;
    LogPiece piece;
    piece.header = entry->header;
    piece.chain = entry->chain;
    found.pieces.push_back(std::move(piece));
    Ack ack;
    ack.tx = entry->header.tx;
    found.outcomes.push_back({0, ack});
  }
  ++world_.counts["commit found after a crash"];
  on_commit(found);
}

}  // namespace csa::sim
