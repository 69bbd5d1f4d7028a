#include "broker/edits.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "common/past_log.h"

namespace csa {
namespace {

// How many changes of its key by one node a row is followed back over.
constexpr int kRenamedMax = 64;

}  // namespace

struct EditIndex::Impl {
  Impl(const Database& database, LogTable& log_table, const Log& log_lines)
      : db(database), log(log_table), lines(log_lines), index(database, log_table) {}

  [[nodiscard]] std::optional<RowIdentity> read_row(const Asked& asked, const HistoryAsker& asker,
                                                    RowHistory& history,
                                                    std::optional<RowIdentity>& moved);

  [[nodiscard]] bool is_of(Seq seq, const NodeId& node) const {
    return entries != nullptr && node == author && std::ranges::binary_search(*entries, seq);
  }
  [[nodiscard]] NodeId writer_of(Seq seq);
  [[nodiscard]] Seq cover(Seq after, const Meta& head);

  const Database& db;
  LogTable& log;
  const Log& lines;
  Seq sound_from{0};
  TouchIndex index;
  std::optional<TouchMarks> marks;
  LongHistories histories;
  NodeId author;
  const std::vector<Seq>* entries = nullptr;  // that are `author`'s
  std::uint64_t number = 0;                   // of the last such ones
  // Whose the entries `headers_from` to `headers_to` are: the last of them is `writer`'s, and
  // `other` the last that is not.
  Seq headers_from{1}, headers_to{0};
  NodeId writer;
  Seq other{0};
};

// No damage makes somebody's NodeId another one's; where it cannot be read, it is anybody's.
NodeId EditIndex::Impl::writer_of(Seq seq) {
  const std::optional<LogTable::Entry> entry = readable_entry(log, seq);
  return entry ? entry->header.tx.node : NodeId{};
}

EditIndex::EditIndex(const Database& db, LogTable& log, const Log& lines)
    : impl_(std::make_unique<Impl>(db, log, lines)) {}
EditIndex::~EditIndex() = default;

bool EditIndex::others_wrote(Seq after, const NodeId& node, const Meta& head) {
  Impl& impl = *impl_;
  const Seq first = std::max(head.floor, after.next());
  const Seq last = head.position.seq;
  if (impl.headers_to < impl.headers_from || first < impl.headers_from) {
    impl.headers_from = first;
    impl.headers_to = Seq{first.value - 1};
    impl.writer = NodeId{};
    impl.other = Seq{};
  }
  for (; impl.headers_to < last; impl.headers_to = impl.headers_to.next()) {
    const Seq next = impl.headers_to.next();
    const NodeId writer = impl.writer_of(next);
    if (writer != impl.writer) impl.other = impl.headers_to;
    impl.writer = writer;
  }
  return first <= last && (impl.writer != node || first <= impl.other);
}

// Returns instead what the row was called before, where who asks has changed that to the asked key.
std::optional<RowIdentity> EditIndex::Impl::read_row(const Asked& asked, const HistoryAsker& asker,
                                                     RowHistory& history,
                                                     std::optional<RowIdentity>& moved) {
  const Id128 name = hash_of(asked.row);
  const LongHistories::Kept* const kept = asked.was_its_key ? nullptr : histories.find(name, asker);
  if (kept != nullptr) history = kept->history;
  using Touched = TouchIndex::Place;
  using Move = TouchIndex::Move;
  Touched last = kept != nullptr
                     ? Touched{name, kept->seq, kept->n}
                     : Touched{name, asker.after, std::numeric_limits<std::int64_t>::max()};
  std::size_t read = 0;
  bool moves = asked.was_its_key;
  std::optional<Touched> place = last;
  for (bool arrives = false; place;) {
    index.ask(*place, asked.row.table, asker.schema_version);
    const bool first_name = place->row == name && !arrives;
    place.reset();
    while (!place) {
      std::optional<TouchIndex::Found> found = index.next();
      if (!found) break;
      Touch& touch = found->touch;
      if (is_of(touch.seq, asker.node)) touch.edit.node = asker.node;
      const bool own = touch.edit.node == asker.node;
      const bool arrived = std::exchange(arrives, false);
      last = {name, touch.seq, touch.n};
      ++read;
      moves = moves || found->move != Move::kNone;
      std::optional<RowIdentity>& called = found->other;
      if (found->move == Move::kHere) {
        if (!arrived && own && first_name && !asked.was_its_key && called) {
          index.end_asking();
          return called;
        }
        touch.op = arrived ? TouchOp::kChanged : TouchOp::kBorn;
      }
      if (found->move != Move::kAway) {
        history.add(touch);
        continue;
      }
      const bool back = !called || hash_of(*called) == name;
      arrives = back || !own || asked.was_its_key;
      // For who has moved the row, what its old name means after that is another one.
      if (!arrives) history = RowHistory(asker);
      moved = back || !arrives ? std::nullopt : std::move(called);
      place = Touched{moved ? hash_of(*moved) : name, touch.seq, touch.n};
    }
    index.end_asking();
  }
  if (!moves && read > 0) histories.keep(name, {asker, history, last.seq, last.n}, read);
  return std::nullopt;
}

// What the log tells begins behind an entry that a disk keeps wrongly, as behind one that is gone.
Seq EditIndex::Impl::cover(Seq after, const Meta& head) {
  while (true) {
    const Seq floor = std::max(head.floor, sound_from);
    if (index.cover(std::max(floor, after.next()), head.position.seq)) histories.clear();
    const std::optional<Seq> damaged = index.damaged();
    if (!damaged) return floor;
    sound_from = damaged->next();
    histories.clear();
    index.forget();
    lines.error("merge: " + doubted_entry(db, *damaged));
  }
}

EditIndex::RowEdits EditIndex::edits(Asked asked, Seq after, const Meta& head, const NodeId& node) {
  Impl& impl = *impl_;
  const Seq floor = impl.cover(after, head);
  // What is older than the log was edited before its oldest entry was committed; what was not
  // changed since `after` is older than any edit of whoever knew it.
  const bool all_known = after.next() >= floor;
  const HistoryAsker asker{node, after, head.schema_version, all_known,
                           all_known ? Edit{} : impl.index.floor()};
  bool renamed = false;
  for (int i = 0; i < kRenamedMax; ++i) {
    RowHistory history(asker);
    std::optional<RowIdentity> moved;
    std::optional<RowIdentity> before = impl.read_row(asked, asker, history, moved);
    if (!before) {
      RowEdits edits = history.take(impl.index.floor());
      // Back under the name that it had before who asks has changed it.
      if (!moved && renamed) moved = std::move(asked.row);
      edits.moved = std::move(moved);
      return edits;
    }
    asked = {std::move(*before), true};
    renamed = true;
  }
  return RowHistory({node, after, head.schema_version, false, impl.index.floor()})
      .take(impl.index.floor());
}

void EditIndex::count_as(const NodeId& author, const std::vector<Seq>* entries,
                         std::uint64_t number) {
  if (entries != nullptr && std::exchange(impl_->number, number) != number) {
    impl_->histories.clear();
  }
  impl_->author = author;
  impl_->entries = entries;
}

std::uint64_t EditIndex::touches_of(Seq seq) { return impl_->index.touches_of(seq); }

void EditIndex::touch(const RowIdentity& row, TouchOp op, const Bytes& mask, const Bytes& given) {
  if (!impl_->marks) impl_->marks.emplace(impl_->db);
  impl_->marks->add(row, op, mask, given);
}

void EditIndex::forget() {
  Impl& impl = *impl_;
  impl.histories.clear();
  impl.index.forget();
  impl.headers_from = Seq{1};
  impl.headers_to = Seq{0};
}

}  // namespace csa
