// Who changed a row last, by the log: an index over the entries that a replay may meet
// (touch_index.h), made when the first conflict asks, so that ordinary writes pay nothing for it
// and memory stays bounded. Belongs to the ledger's thread. Throws SqliteError.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "broker/row_history.h"
#include "broker/row_identity.h"
#include "broker/touch_index.h"
#include "broker/touch_marks.h"
#include "common/log.h"
#include "common/sqlite.h"
#include "common/store_meta.h"

namespace csa {

class EditIndex {
 public:
  // `db` is the ledger's connection; entries of an open transaction are seen too. All outlive this.
  EditIndex(const Database& db, LogTable& log, const Log& lines);
  ~EditIndex();
  EditIndex(const EditIndex&) = delete;
  EditIndex& operator=(const EditIndex&) = delete;

  using RowEdits = csa::RowEdits;

  // Whether an entry in (after, head] is not `node`'s. Reads headers only, each once.
  [[nodiscard]] bool others_wrote(Seq after, const NodeId& node, const Meta& head);
  struct Asked {
    RowIdentity row;
    // Who asks has changed that key itself since and means the same row all the same. Else, after
    // such a change, the key is another row's.
    bool was_its_key = false;
  };
  // What entries in (after, head] did to the row. Reads what it has not seen of the log first; one
  // that is not what was written is told, and what was done up to it is not known.
  // `head` is the last entry that is in csa_log, also uncommitted; `node` is who asks.
  [[nodiscard]] RowEdits edits(Asked asked, Seq after, const Meta& head, const NodeId& node);
  // Whatever TxIds they go by, `entries` of the log (ascending) count as `author`'s where that one
  // asks, until the next call. nullptr: none; else it must outlive that. Under another `number`
  // they may be others than before, of the same author.
  void count_as(const NodeId& author, const std::vector<Seq>* entries, std::uint64_t number = 0);
  // As TouchIndex::touches_of().
  [[nodiscard]] std::uint64_t touches_of(Seq seq);
  // As TouchMarks::add().
  void touch(const RowIdentity& row, TouchOp op, const Bytes& mask, const Bytes& given = {});
  // After a rollback, or a new Epoch: what was read may be wrong.
  void forget();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace csa
