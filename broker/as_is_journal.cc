#include "broker/as_is_journal.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "broker/lost_transactions.h"
#include "common/codec.h"
#include "common/journal.h"
#include "common/past_log.h"

namespace csa {
namespace {

constexpr const char* kTaken =
    "the master was made of a replica as it stood, with this change in it";

class Taking {
 public:
  Taking(const Database& db, const Meta& meta)
      : db_(db),
        meta_(meta),
        journal_(db),
        outcomes_(db),
        checksum_(db, "SELECT checksum FROM csa_journal WHERE entry = ?1"),
        erase_(db, "DELETE FROM csa_journal WHERE entry = ?1"),
        erase_parts_(db,
                     "DELETE FROM csa_journal_part WHERE part_id >= ?1 << 20 AND part_id < (?1 + 1)"
                     " << 20") {}

  AsIs run(bool undone) {
    journal_.unmark();
    for (const std::uint64_t counter : counters()) {
      const std::optional<JournalHeader> header = header_of(counter);
      const bool sound = header && is_sound(counter);
      if (sound && (undone || header->is_lost())) continue;
      if (header && header->is_lost()) {
        ++result_.offers;
      } else {
        ++result_.changes;
        if (!sound) ++result_.unreadable;
        if (header) add_outcome(*header);
      }
      for (Statement* const erase : {&erase_, &erase_parts_}) {
        erase->bind(1, signed_of(counter));
        erase->run();
      }
    }
    return result_;
  }

 private:
  [[nodiscard]] std::vector<std::uint64_t> counters() const {
    std::vector<std::uint64_t> counters;
    Statement rows = db_.prepare(
        "SELECT entry FROM csa_journal UNION SELECT part_id >> 20 FROM csa_journal_part ORDER BY"
        " 1");
    while (rows.step()) counters.push_back(unsigned_of(rows.column_int(0)));
    return counters;
  }

  [[nodiscard]] std::optional<JournalHeader> header_of(std::uint64_t counter) const {
    Result<std::optional<JournalHeader>> header = journal_.find(counter);
    return header ? std::move(*header) : std::nullopt;
  }

  [[nodiscard]] bool is_sound(std::uint64_t counter) const {
    return journal_.read(counter - 1, 0, 1, true).has_value();
  }

  // As the ledger would know a repeat of it: another copy of the replica may hand it over under the
  // TxId that it had first.
  void add_outcome(const JournalHeader& header) {
    Replay replay;
    replay.header = header;
    checksum_.bind(1, signed_of(header.tx.counter));
    if (checksum_.step()) {
      const Bytes bytes = checksum_.column_blob(0);
      if (bytes.size() == replay.checksum.bytes.size()) {
        std::ranges::copy(bytes, replay.checksum.bytes.begin());
      }
    }
    checksum_.reset();
    add_outcome(header.tx, request_hash(replay), header.size);
    if (header.is_renamed()) add_outcome(header.origin, request_hash(replay), header.size);
  }

  // Where another transaction has, or had, the TxId, under the name that the ledger gives it then.
  void add_outcome(const TxId& tx, const Id128& hash, std::uint64_t size) {
    const std::optional<Outcome> known = outcomes_.find(tx);
    const bool forgotten = outcomes_.forgets(tx);
    if (known && known->request_hash == hash && !forgotten) return;
    const bool taken = known || forgotten;
    const TxId name = taken ? name_of_stray(tx, hash) : tx;
    if (taken && outcomes_.find(name)) return;
    const Replayed applied{tx, ReplayResult::kApplied, size, meta_.position.seq, kTaken, {}};
    outcomes_.add({name, hash, applied});
  }

  const Database& db_;  // must outlive this
  const Meta& meta_;    // must outlive this
  const Journal journal_;
  OutcomeTable outcomes_;
  Statement checksum_, erase_, erase_parts_;
  AsIs result_;
};

}  // namespace

std::uint64_t count_spooled(const Database& db, const Meta& meta) {
  LogTable log(db);
  Seq seq = meta.position.seq;
  while (true) {
    const auto entry = readable_entry(log, seq.next());
    if (!entry || log.stored(seq.next()) != entry->header.size) break;
    seq = seq.next();
  }
  return seq.value - meta.position.seq.value;
}

AsIs take_as_is(const Database& db, const Meta& meta, const Status& undone) {
  Transaction transaction(db);
  AsIs result = Taking(db, meta).run(undone.has_value());
  transaction.commit();
  if (!undone) result.damage = undone.error().what;
  return result;
}

}  // namespace csa
