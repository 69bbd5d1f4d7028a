#include "broker/edits.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "common/change_bytes.h"
#include "common/codec.h"
#include "common/limits.h"

namespace csa {
namespace {

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
Bytes mask_of(const RowChange& change) {
  Bytes mask((change.new_values.size() + 7) / 8, 0);
  for (std::size_t i = 0; i < change.new_values.size(); ++i) {
    if (!change.new_values[i]) continue;
    mask[i / 8] = static_cast<std::uint8_t>(mask[i / 8] | (1U << (i % 8)));
  }
  return mask;
}

bool has_bit(const Bytes& mask, std::size_t column) {
  return column / 8 < mask.size() && ((std::uint32_t{mask[column / 8]} >> (column % 8)) & 1U) != 0;
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

}  // namespace

struct EditIndex::Impl {
  Impl(const Database& database, LogTable& log_table) : db(database), log(log_table) {}

  void cover(Seq from, Seq to);
  void read_entry(Seq seq);
  void add(const RowChange& change, const ChangeTable& table);
  void add_mark(const RowChange& change);
  void store(const Id128& row, TouchOp op, const Bytes& mask, const std::optional<Row>& content);

  const Database& db;
  LogTable& log;
  std::optional<Database> index;
  std::optional<TouchMarks> marks;
  Statement add_touch, add_entry, touches, changed, among;
  Seq reading{0};             // entry
  std::int64_t n = 0;         // of its touches
  std::set<Id128> came_back;  // in it
  Seq from{1}, to{0};         // entries that are read; none where to < from
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
        "SELECT t.seq, t.op, t.mask, e.edited, e.error, e.node, t.content, e.schema_version FROM "
        "touch t JOIN entry e USING"
        " (seq) WHERE t.row = ?1 AND t.seq > ?2 ORDER BY t.seq, t.n");
    changed = index->prepare("SELECT changed FROM entry WHERE seq = ?1");
    among = index->prepare("SELECT 1 FROM touch WHERE row = ?1 AND seq = ?2 LIMIT 1");
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
  const std::optional<RowIdentity> before = identity_before(change, table);
  const std::optional<RowIdentity> after = identity_after(change, table);
  if (before && after && hash_of(*before) == hash_of(*after)) {
    return store(hash_of(*before), TouchOp::kChanged, mask_of(change), {});
  }
  const bool whole = change.op == RowOp::kDelete;
  if (before) {
    store(hash_of(*before), TouchOp::kGone, {}, whole ? row_before(change, table) : std::nullopt);
  }
  if (after && !came_back.contains(hash_of(*after))) {
    store(hash_of(*after), TouchOp::kBorn, {}, {});
  }
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
  if (touched >= TouchOp::kChanged && touched <= TouchOp::kBack) store(row, touched, *mask, {});
}

TouchMarks::TouchMarks(const Database& db)
    : insert_(db, "INSERT INTO main.csa_touch VALUES (?1, ?2, ?3)"),
      erase_(db, "DELETE FROM main.csa_touch WHERE key_hash = ?1") {}

void TouchMarks::add(const RowIdentity& row, TouchOp op, const Bytes& mask) {
  const Id128 hash = hash_of(row);
  insert_.bind_blob(1, hash.bytes).bind(2, static_cast<std::int64_t>(op)).bind_blob(3, mask);
  insert_.run();
  erase_.bind_blob(1, hash.bytes).run();
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

EditIndex::RowEdits EditIndex::edits(const RowIdentity& row, Seq after, const Meta& head,
                                     const NodeId& node) {
  Impl& impl = *impl_;
  const Seq first = std::max(head.floor, after.next());
  impl.cover(first, head.position.seq);
  RowEdits edits;
  edits.all_known = after.next() >= head.floor;
  // What is older than the log was edited before its oldest entry was committed; what was not
  // changed since `after` is older than any edit of whoever knew it.
  const Edit older = edits.all_known ? Edit{} : impl.floor;
  edits.last = older;
  impl.touches.bind_blob(1, hash_of(row).bytes).bind(2, signed_of(after.value));
  bool deleted = false;
  const auto raise = [](Edit& known, const Edit& edit) {
    if (is_earlier(known, edit)) known = edit;
  };
  while (impl.touches.step()) {
    const Statement& touch = impl.touches;
    const Edit edit = edit_of(touch, 3);
    const auto op = static_cast<TouchOp>(touch.column_int(1));
    const Bytes mask = touch.column_blob(2);
    edits.known = true;
    raise(edits.last, edit);
    const bool changes = std::ranges::any_of(mask, [](std::uint8_t bits) { return bits != 0; });
    if (edit.node != node && (changes || op == TouchOp::kBorn)) edits.by_others = true;
    if (op == TouchOp::kBorn) {
      // Without a deletion before it, it is the row that the journal has inserted too.
      edits.born = edits.born || deleted || !edits.all_known;
      edits.columns.clear();
      edits.whole = edits.last;
    }
    if (op == TouchOp::kGone) {
      deleted = true;
      if (!std::exchange(edits.absent, true)) {  // else it was deleted on both sides
        const Result<RowSet> content = decode_rows(touch.column_blob(6));
        const bool same = touch.column_int(7) == signed_of(head.schema_version);
        if (same && content && !content->rows.empty()) edits.gone = content->rows.front();
      }
    } else if (op != TouchOp::kChanged) {
      edits.absent = false;
      edits.gone.reset();
    }
    for (std::size_t i = 0; i < mask.size() * 8; ++i) {
      if (!has_bit(mask, i)) continue;
      if (edits.columns.size() <= i) edits.columns.resize(i + 1, edits.whole.value_or(older));
      raise(edits.columns[i], edit);
    }
    const Seq seq{static_cast<std::uint64_t>(touch.column_int(0))};
    const bool seen = !edits.entries.empty() && edits.entries.back() == seq;
    if (seen) continue;
    if (edits.entries.size() < kEntriesMax) {
      edits.entries.push_back(seq);
    } else {
      edits.all_known = false;
    }
  }
  if (!edits.known) edits.last = impl.floor;
  if (!edits.whole) edits.whole = edits.known ? older : impl.floor;
  return edits;
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
    if (impl.among.step()) ++result.among;
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
  impl.from = Seq{1};
  impl.to = Seq{0};
  impl.headers_from = Seq{1};
  impl.headers_to = Seq{0};
}

}  // namespace csa
