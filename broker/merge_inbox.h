// The conflict inbox as merges write it: csa_inbox and what belongs to it. Belongs to the ledger's
// thread; throws SqliteError.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/inbox_reader.h"
#include "broker/inbox_rows.h"
#include "broker/merge_row.h"
#include "broker/row_identity.h"
#include "common/sqlite.h"
#include "common/types.h"

namespace csa {

struct ConflictRow {
  RowIdentity identity;
  std::vector<std::string> columns;
  std::vector<bool> adds_up;             // of these; nothing: none
  std::vector<std::string> key_columns;  // names of the identity's values
  std::string op;                        // insert, update, delete
  std::string rule;
  std::string decision;  // node broker merged split parked remapped
  std::string reason;
  std::optional<Row> base, broker, node;
  std::optional<Edit> broker_edit;
  bool close = false;
  bool numbered = false;               // inserted, and SQLite gave it its number
  std::optional<RowIdentity> renamed;  // by the node
};

// Whose entry it is, and where it is decided.
struct ConflictOrigin {
  TxId tx;
  std::uint64_t journal = 0;
  std::string hostname;
  WallTime edited;
  Seq seq;
  WallTime now;
  std::int64_t wall_ahead_ms = 0;  // people are told the time of the wall
  std::uint64_t bundle = 0;        // see csa_conflicts; 0: by itself
};
// As the inbox tells `time`.
[[nodiscard]] std::string wall_text(WallTime time, const ConflictOrigin& origin);

class Inbox {
 public:
  explicit Inbox(const Database& db);  // must outlive this

  // Before each attempt at an entry, in its transaction: nothing of an earlier one is waiting.
  void begin();
  // A row that this journal has lost in the same way before, to the same version of the master's,
  // and that is open still, is told its latest version rather than added again. It waits for
  // store(), but for what fills a row of csa_inbox. REQUIRES: `origin` is the same until then.
  void add(const ConflictRow& row, const ConflictOrigin& origin);
  // At the end of the attempt.
  void store(const ConflictOrigin& origin);
  // Whether an earlier entry of this journal was kept whole with this row in it, so that what
  // follows must wait with it: the bundle of that one.
  [[nodiscard]] std::optional<std::uint64_t> bundle_of(const NodeId& node, std::uint64_t journal,
                                                       const Id128& row);
  // Whether there is any row of this journal.
  [[nodiscard]] bool knows(const NodeId& node, std::uint64_t journal);
  // Two bundles of a journal become one.
  void join(const NodeId& node, std::uint64_t journal, std::uint64_t from, std::uint64_t to);

 private:
  // As the inbox tells a time, which is mostly that of the row before.
  class TimeText {
   public:
    const std::string& of(WallTime time, const ConflictOrigin& origin);

   private:
    std::optional<std::int64_t> ms_;
    std::string text_;
  };
  struct Waiting {
    Id128 hash;
    InboxDecision decided;
    InboxTexts texts;
    Bytes exact;
  };
  [[nodiscard]] static std::size_t size_of(const Waiting& waiting);
  void wait(Waiting&& waiting, const ConflictOrigin& origin);
  [[nodiscard]] bool replace(const ConflictRow& row, const Id128& hash,
                             const ConflictOrigin& origin);
  [[nodiscard]] bool replace_waiting(const ConflictRow& row, const Id128& hash,
                                     const ConflictOrigin& origin);
  [[nodiscard]] bool tell_later(const ConflictRow& row, InboxDecision& decided,
                                const StoredVersions& before, StoredVersions& after);
  void take_texts(StoredVersions& into) const;
  // Rows of this journal with that identity, the latest first, until `visit` returns true.
  bool any_kept(const NodeId& node, std::uint64_t journal, const Id128& row,
                const InboxReader::Visit& visit);
  void index(const Id128& hash, std::string_view decision, std::int64_t id);
  void index_all();

  InboxReader reader_;
  Statement insert_, last_, of_hash_, index_, indexed_, later_, any_, join_;
  InboxRows rows_, key_;
  TimeText decided_, edited_, broker_edited_;
  std::vector<Waiting> waiting_;
  std::unordered_map<Id128, std::size_t, Id128Hash> waiting_at_;  // the last of each
  std::size_t waiting_bytes_ = 0;
};

}  // namespace csa
