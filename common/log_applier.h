// The log's pieces into a replica: one call is one local transaction, which moves content,
// Position, log, outcomes and layouts together. For stores; one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/apply.h"
#include "common/journal.h"
#include "common/message.h"
#include "common/past_log.h"
#include "common/result.h"
#include "common/schema.h"
#include "common/sqlite.h"
#include "common/store_meta.h"
#include "common/wal_base.h"
#include "common/writers.h"

namespace csa {

class LogApplier {
 public:
  enum class Spooled : std::uint8_t { kErase, kKeep };
  // `db` outlives this and is in no transaction; `meta` is the file's. kErase: removes parts in
  // csa_log that do not follow meta.position. kKeep: take_over() will look at what is spooled.
  LogApplier(const Database& db, const Meta& meta, Spooled spooled = Spooled::kErase);
  ~LogApplier();
  LogApplier(const LogApplier&) = delete;
  LogApplier& operator=(const LogApplier&) = delete;

  struct Outcome {
    std::vector<std::string> tables;  // that changed
    bool schema_changed = false;
  };
  // Inside the open transaction, which the caller counts and commits or, on an Error or exception,
  // rolls back; then exactly one of committed() and rolled_back(). kMalformed: the pieces leave a
  // gap. kDamaged: they do not fit; suspicious() tells whether this replica's own content is in
  // doubt.
  [[nodiscard]] Result<Outcome> apply(const std::vector<LogPiece>& pieces);
  void committed();
  void rolled_back();

  // While there is a journal: stores pieces in stream order behind the Position, applies nothing.
  // Inside the open transaction, which the caller ends. kMalformed: they leave a gap.
  [[nodiscard]] Status spool(const std::vector<LogPiece>& pieces);
  // As apply(), inside the open transaction: undoes the journal, then applies every whole entry
  // that is spooled.
  [[nodiscard]] Result<Outcome> take_over(const Journal& journal);
  // After take_over() has been committed: parts of an unfinished entry are looked at anew.
  void forget_spool() {
    spooled_ = {};
    find_partial();
  }

  // True: nothing in `pieces` is new, so no transaction is needed.
  [[nodiscard]] bool all_known(const std::vector<LogPiece>& pieces) const;
  [[nodiscard]] bool suspicious() const { return suspicious_; }
  [[nodiscard]] const Meta& meta() const { return now_.meta; }
  [[nodiscard]] std::uint64_t partial() const { return now_.partial; }
  // Deletes old entries below `floor`, bounded work in a transaction of its own. True: more is
  // left to delete.
  bool trim(Seq floor);

 private:
  struct Place {
    Meta meta;
    std::uint64_t partial = 0;  // bytes of the entry after meta.position that are in csa_log
    Renames renames;            // of the migration that is being applied
  };
  struct Changed;

  void find_partial();
  [[nodiscard]] Status take(const LogPiece& piece, Changed& changed);
  [[nodiscard]] Status may_follow(const EntryHeader& header) const;
  [[nodiscard]] Status take_part(const LogPiece& piece, Changed& changed);
  [[nodiscard]] Status apply_stored(const LogTable::Entry& entry, Changed& changed);
  [[nodiscard]] Status drain(ChangeReader& reader, Seq seq, Changed& changed);
  void bound_writers(const TxId& tx);
  [[nodiscard]] Status advance(const EntryHeader& header, const Chain& chain, Changed& changed);
  [[nodiscard]] Status prove_schema(const std::string& remark, Seq seq);
  [[nodiscard]] Error doubt(const std::string& why);

  const Database& db_;
  Applier applier_;
  std::optional<LogTable> log_;
  std::optional<OutcomeTable> outcomes_;
  std::optional<Writers> writers_;  // nothing: not looked yet
  std::optional<PastLog> past_;
  std::optional<CommitCount> commits_;  // of its own transactions
  Place now_;                           // as committed
  Place next_;                          // inside the transaction
  Cursor spooled_;                      // what a spool that goes on brings next
  bool suspicious_ = false;
};

}  // namespace csa
