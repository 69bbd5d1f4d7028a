#include "broker/edits.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "broker/merge_table.h"
#include "common/change_bytes.h"
#include "common/codec.h"
#include "common/limits.h"

namespace csa {
namespace {

// In the index alone: the row got another key; content is its other name.
constexpr TouchOp kMovedAway{16};
constexpr TouchOp kMovedHere{17};
bool is_move(TouchOp op) { return op == kMovedAway || op == kMovedHere; }

constexpr const char* kSchema = R"(
  PRAGMA journal_mode=OFF;
  PRAGMA synchronous=OFF;
  PRAGMA cache_size=-8192;
  CREATE TABLE touch (row BLOB, seq INTEGER, n INTEGER, op INTEGER, mask BLOB, content BLOB,
                      PRIMARY KEY (row, seq, n)) WITHOUT ROWID;
  CREATE TABLE entry (seq INTEGER PRIMARY KEY, changed INTEGER, edited INTEGER, error INTEGER,
                      node BLOB, schema_version INTEGER);
)";

// One bit a column that the change gave another value.
Bytes mask_of(const RowChange& change, const ChangeTable& table) {
  Bytes mask((table.column_count + 7) / 8, 0);
  const auto set = [&mask](std::size_t column) {
    if (column / 8 >= mask.size()) return;
    mask[column / 8] = static_cast<std::uint8_t>(mask[column / 8] | (1U << (column % 8)));
  };
  for (std::size_t i = 0; i < change.new_values.size(); ++i) {
    if (change.new_values[i]) set(i);
  }
  for (std::size_t k = 0; change.new_key && k < table.key_columns.size(); ++k) {
    if (change.key[k] != (*change.new_key)[k]) set(table.key_columns[k]);
  }
  return mask;
}

Edit edit_of(const Statement& row, int first) {
  Edit edit;
  edit.time = WallTime{row.column_int(first)};
  edit.error_ms = static_cast<std::uint32_t>(row.column_int(first + 1));
  const Bytes node = row.column_blob(first + 2);
  std::copy_n(node.begin(), std::min(node.size(), edit.node.value.bytes.size()),
              edit.node.value.bytes.begin());
  return edit;
}

struct Place {
  Id128 row;
  Seq seq;
  std::int64_t n = 0;
};

Touch touch_of(const Statement& row, std::uint64_t schema_version) {
  Touch touch;
  touch.seq = Seq{static_cast<std::uint64_t>(row.column_int(0))};
  touch.op = static_cast<TouchOp>(row.column_int(1));
  touch.mask = row.column_blob(2);
  touch.edit = edit_of(row, 3);
  const bool same = row.column_int(7) == signed_of(schema_version) || is_move(touch.op);
  if (Result<RowSet> content = decode_rows(row.column_blob(6));
      same && content && !content->rows.empty()) {
    touch.content = std::move(content->rows.front());
  }
  touch.n = row.column_int(8);
  return touch;
}

Row content_of(const RowIdentity& name) {
  Row content = name.key;
  content.emplace_back(std::int64_t{name.by_rowid ? 1 : 0});
  return content;
}

// How many changes of its key by one node a row is followed back over.
constexpr int kRenamedMax = 64;

}  // namespace

struct EditIndex::Impl {
  Impl(const Database& database, LogTable& log_table) : db(database), log(log_table) {}

  void cover(Seq from, Seq to);
  void read_entry(Seq seq);
  void add(const RowChange& change, const ChangeTable& table);
  void add_mark(const RowChange& change);
  void store(const Id128& row, TouchOp op, const Bytes& mask, const std::optional<Row>& content);
  [[nodiscard]] bool has_rows_by_key(const ChangeTable& table);
  [[nodiscard]] const std::vector<KeyFold>& folds_of(const std::string& table);
  [[nodiscard]] std::optional<RowIdentity> name_of(const std::optional<Row>& content,
                                                   const std::string& table);
  [[nodiscard]] std::optional<RowIdentity> read_row(const Asked& asked, const HistoryAsker& asker,
                                                    RowHistory& history,
                                                    std::optional<RowIdentity>& moved);

  const Database& db;
  LogTable& log;
  std::optional<Database> index;
  std::optional<TouchMarks> marks;
  Statement add_touch, add_entry, touches, changed, among;
  Seq reading{0};                                     // entry
  std::int64_t n = 0;                                 // of its touches
  std::set<Id128> came_back;                          // in it
  bool deletes = false;                               // it, so far
  std::map<std::string, bool> shadows;                // tables that are, and are not
  std::map<std::string, std::vector<KeyFold>> folds;  // by table
  LongHistories histories;
  Seq from{1}, to{0};  // entries that are read; none where to < from
  Edit floor;
  // Whose the entries `headers_from` to `headers_to` are: the last of them is `writer`'s, and
  // `other` the last that is not.
  Seq headers_from{1}, headers_to{0};
  NodeId writer;
  Seq other{0};
};

void EditIndex::Impl::cover(Seq first, Seq last) {
  if (!index || first < from || to < from) {
    for (Statement* const old : {&add_touch, &add_entry, &touches, &changed, &among}) {
      *old = Statement();
    }
    index.emplace(std::string(), Database::Mode::kCreate);
    index->exec(kSchema);
    add_touch = index->prepare("INSERT INTO touch VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    add_entry = index->prepare("INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    touches = index->prepare(
        "SELECT t.seq, t.op, t.mask, e.edited, e.error, e.node, t.content, e.schema_version, t.n "
        "FROM touch t JOIN entry e USING (seq) WHERE t.row = ?1 AND (t.seq, t.n) > (?2, ?3) ORDER "
        "BY t.seq, t.n");
    changed = index->prepare("SELECT changed FROM entry WHERE seq = ?1");
    among = index->prepare("SELECT count(*) FROM touch WHERE row = ?1 AND seq = ?2");
    histories.clear();
    from = first;
    to = Seq{first.value - 1};
    floor = Edit{};
    if (const auto oldest = log.entry(first)) floor.time = oldest->header.time;
  }
  if (to >= last) return;
  index->exec("BEGIN");
  for (Seq seq = to.next(); seq <= last; seq = seq.next()) read_entry(seq);
  index->exec("COMMIT");
  to = last;
}

void EditIndex::Impl::read_entry(Seq seq) {
  const std::optional<LogTable::Entry> entry = log.entry(seq);
  if (!entry) return;
  reading = seq;
  n = 0;
  came_back.clear();
  deletes = false;
  ChangeReader reader;
  for (std::uint64_t at = 0; at < entry->header.size;) {
    const std::optional<LogPiece> piece = log.read(seq, at, limits::kPieceMax);
    if (!piece || piece->bytes.empty()) break;
    at += piece->bytes.size();
    reader.feed(piece->bytes);
    while (true) {
      const Result<std::optional<Change>> change = reader.next();
      if (!change || !*change) break;
      if (const auto* const row = std::get_if<RowChange>(&**change)) {
        add(*row, reader.tables().at(row->table));
      } else if (std::holds_alternative<SchemaStatement>(**change)) {
        folds.clear();
        shadows.clear();
      }
    }
  }
  const EntryHeader& header = entry->header;
  add_entry.bind(1, signed_of(seq.value)).bind(2, n).bind(3, header.edited.ms);
  add_entry.bind(4, std::int64_t{header.edited_error_ms});
  add_entry.bind_blob(5, header.tx.node.value.bytes).bind(6, signed_of(header.schema_version));
  add_entry.run();
}

void EditIndex::Impl::store(const Id128& row, TouchOp op, const Bytes& mask,
                            const std::optional<Row>& content) {
  add_touch.bind_blob(1, row.bytes).bind(2, signed_of(reading.value)).bind(3, n++);
  add_touch.bind(4, static_cast<std::int64_t>(op)).bind_blob(5, mask);
  if (content) {
    add_touch.bind_blob(6, encode_rows({{}, {*content}}));
  } else {
    add_touch.bind_null(6);
  }
  add_touch.run();
}

void EditIndex::Impl::add(const RowChange& change, const ChangeTable& table) {
  if (table.name == kTouchTable) return add_mark(change);
  if (table_class(table.name) != TableClass::kApplication) return;
  std::optional<RowIdentity> before = identity_before(change, table);
  std::optional<RowIdentity> after = identity_after(change, table);
  for (std::optional<RowIdentity>* const row : {&before, &after}) {
    if (*row && !(*row)->by_rowid) (*row)->folds = folds_of(table.name);
  }
  if (before && after && hash_of(*before) == hash_of(*after)) {
    return store(hash_of(*before), TouchOp::kChanged, mask_of(change, table), {});
  }
  if (before && after) {
    const Bytes mask = mask_of(change, table);
    store(hash_of(*before), kMovedAway, mask, content_of(*after));
    return store(hash_of(*after), kMovedHere, mask, content_of(*before));
  }
  if (before) store(hash_of(*before), TouchOp::kGone, {}, row_before(change, table));
  deletes = deletes || before;
  if (after && !came_back.contains(hash_of(*after))) {
    const bool again = deletes && !after->by_rowid && has_rows_by_key(table);
    store(hash_of(*after), TouchOp::kBorn, {}, again ? row_after(change, table) : std::nullopt);
  }
}

// An application chooses the keys; virtual tables' own rows are deleted and inserted as they
// please.
bool EditIndex::Impl::has_rows_by_key(const ChangeTable& table) {
  if (table.declared_key.empty() && table.key_columns.empty()) return false;
  const auto [known, fresh] = shadows.try_emplace(table.name);
  if (fresh) known->second = is_shadow(db, table.name);
  return !known->second;
}

const std::vector<KeyFold>& EditIndex::Impl::folds_of(const std::string& table) {
  const auto [known, fresh] = folds.try_emplace(table);
  if (fresh) {
    if (const std::optional<TableInfo> info = table_info(db, table)) {
      known->second = key_folds(db, *info);
    }
  }
  return known->second;
}

// What content_of() told.
std::optional<RowIdentity> EditIndex::Impl::name_of(const std::optional<Row>& content,
                                                    const std::string& table) {
  if (!content || content->empty()) return std::nullopt;
  RowIdentity name{table, *content, content->back() == Value(std::int64_t{1})};
  name.key.pop_back();
  if (!name.by_rowid) name.folds = folds_of(table);
  return name;
}

void EditIndex::Impl::add_mark(const RowChange& change) {
  if (change.op != RowOp::kInsert || change.new_values.size() != 3 || change.key.size() != 1)
    return;
  const auto* const hash = std::get_if<Bytes>(&change.key[0]);
  const auto* const op =
      change.new_values[1] ? std::get_if<std::int64_t>(&*change.new_values[1]) : nullptr;
  const auto* const mask =
      change.new_values[2] ? std::get_if<Bytes>(&*change.new_values[2]) : nullptr;
  Id128 row;
  if (hash == nullptr || op == nullptr || mask == nullptr || hash->size() != row.bytes.size()) {
    return;
  }
  std::ranges::copy(*hash, row.bytes.begin());
  const auto touched = static_cast<TouchOp>(*op);
  if (touched == TouchOp::kBack) came_back.insert(row);
  if (touched >= TouchOp::kBorn && touched <= TouchOp::kBack) store(row, touched, *mask, {});
}

EditIndex::EditIndex(const Database& db, LogTable& log) : impl_(std::make_unique<Impl>(db, log)) {}
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
    const std::optional<LogTable::Entry> entry = impl.log.entry(next);
    const NodeId writer = entry ? entry->header.tx.node : NodeId{};
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
  Place last = kept != nullptr ? Place{name, kept->seq, kept->n}
                               : Place{name, asker.after, std::numeric_limits<std::int64_t>::max()};
  std::size_t read = 0;
  bool moves = asked.was_its_key;
  std::optional<Place> place = last;
  for (bool arrives = false; place;) {
    touches.bind_blob(1, place->row.bytes).bind(2, signed_of(place->seq.value)).bind(3, place->n);
    const bool first_name = place->row == name && !arrives;
    place.reset();
    while (!place && touches.step()) {
      Touch touch = touch_of(touches, asker.schema_version);
      const bool own = touch.edit.node == asker.node;
      const bool arrived = std::exchange(arrives, false);
      last = {name, touch.seq, touch.n};
      ++read;
      moves = moves || is_move(touch.op);
      if (is_move(touch.op)) {
        std::optional<RowIdentity> called = name_of(touch.content, asked.row.table);
        touch.content.reset();
        if (touch.op == kMovedHere) {
          if (!arrived && own && first_name && !asked.was_its_key && called) {
            touches.reset();
            return called;
          }
          touch.op = arrived ? TouchOp::kChanged : TouchOp::kBorn;
          history.add(touch);
          continue;
        }
        const bool back = !called || hash_of(*called) == name;
        arrives = back || !own || asked.was_its_key;
        // For who has moved the row, what its old name means after that is another one.
        if (!arrives) history = RowHistory(asker);
        moved = back || !arrives ? std::nullopt : std::move(called);
        place = Place{moved ? hash_of(*moved) : name, touch.seq, touch.n};
        continue;
      }
      history.add(touch);
    }
    touches.reset();
  }
  if (!moves && read > 0) histories.keep(name, {asker, history, last.seq, last.n}, read);
  return std::nullopt;
}

EditIndex::RowEdits EditIndex::edits(Asked asked, Seq after, const Meta& head, const NodeId& node) {
  Impl& impl = *impl_;
  const Seq first = std::max(head.floor, after.next());
  impl.cover(first, head.position.seq);
  // What is older than the log was edited before its oldest entry was committed; what was not
  // changed since `after` is older than any edit of whoever knew it.
  const bool all_known = after.next() >= head.floor;
  const HistoryAsker asker{node, after, head.schema_version, all_known,
                           all_known ? Edit{} : impl.floor};
  for (int i = 0; i < kRenamedMax; ++i) {
    RowHistory history(asker);
    std::optional<RowIdentity> moved;
    std::optional<RowIdentity> before = impl.read_row(asked, asker, history, moved);
    if (!before) {
      RowEdits edits = history.take(impl.floor);
      edits.moved = std::move(moved);
      return edits;
    }
    asked = {std::move(*before), true};
  }
  return RowHistory({node, after, head.schema_version, false, impl.floor}).take(impl.floor);
}

EditIndex::Overlap EditIndex::overlap(Seq seq, const std::vector<Id128>& rows) {
  Impl& impl = *impl_;
  Overlap result;
  if (!impl.index) return result;
  impl.changed.bind(1, signed_of(seq.value));
  if (impl.changed.step()) result.changed = static_cast<std::uint64_t>(impl.changed.column_int(0));
  impl.changed.reset();
  for (const Id128& row : rows) {
    impl.among.bind_blob(1, row.bytes).bind(2, signed_of(seq.value));
    if (impl.among.step()) {
      result.among += static_cast<std::uint64_t>(impl.among.column_int(0));
    }
    impl.among.reset();
  }
  return result;
}

void EditIndex::touch(const RowIdentity& row, TouchOp op, const Bytes& mask) {
  if (!impl_->marks) impl_->marks.emplace(impl_->db);
  impl_->marks->add(row, op, mask);
}

void EditIndex::forget() {
  Impl& impl = *impl_;
  impl.histories.clear();
  impl.from = Seq{1};
  impl.to = Seq{0};
  impl.headers_from = Seq{1};
  impl.headers_to = Seq{0};
  impl.folds.clear();
  impl.shadows.clear();
}

}  // namespace csa
