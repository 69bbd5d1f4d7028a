#include "broker/edits.h"

#include <algorithm>
#include <optional>

#include "common/change_bytes.h"
#include "common/limits.h"

namespace csa {
namespace {

constexpr const char* kSchema = R"(
  PRAGMA journal_mode=OFF;
  PRAGMA synchronous=OFF;
  PRAGMA cache_size=-8192;
  CREATE TABLE touch (row BLOB, seq INTEGER, n INTEGER, op INTEGER, mask BLOB,
                      PRIMARY KEY (row, seq, n)) WITHOUT ROWID;
  CREATE TABLE entry (seq INTEGER PRIMARY KEY, changed INTEGER, edited INTEGER, error INTEGER,
                      node BLOB);
)";

std::int64_t signed_of(std::uint64_t value) { return static_cast<std::int64_t>(value); }

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
  void add(const RowChange& change, const ChangeTable& table, Seq seq, std::int64_t& n);

  const Database& db;
  LogTable& log;
  std::optional<Database> index;
  Statement add_touch, add_entry, touches, changed, among;
  Seq from{1}, to{0};  // entries that are read; none where to < from
  Edit floor;
};

void EditIndex::Impl::cover(Seq first, Seq last) {
  if (!index || first < from || to < from) {
    for (Statement* const old : {&add_touch, &add_entry, &touches, &changed, &among}) {
      *old = Statement();
    }
    index.emplace(std::string(), Database::Mode::kCreate);
    index->exec(kSchema);
    add_touch = index->prepare("INSERT INTO touch VALUES (?1, ?2, ?3, ?4, ?5)");
    add_entry = index->prepare("INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5)");
    touches = index->prepare(
        "SELECT t.seq, t.op, t.mask, e.edited, e.error, e.node FROM touch t JOIN entry e USING"
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
  std::int64_t n = 0;
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
        add(*row, reader.tables().at(row->table), seq, n);
      }
    }
  }
  const EntryHeader& header = entry->header;
  add_entry.bind(1, signed_of(seq.value)).bind(2, n).bind(3, header.edited.ms);
  add_entry.bind(4, std::int64_t{header.edited_error_ms});
  add_entry.bind_blob(5, header.tx.node.value.bytes);
  add_entry.run();
}

void EditIndex::Impl::add(const RowChange& change, const ChangeTable& table, Seq seq,
                          std::int64_t& n) {
  if (table_class(table.name) != TableClass::kApplication) return;
  const auto store = [&](const RowIdentity& row, RowOp op, const Bytes& mask) {
    add_touch.bind_blob(1, hash_of(row).bytes).bind(2, signed_of(seq.value)).bind(3, n++);
    add_touch.bind(4, static_cast<std::int64_t>(op)).bind_blob(5, mask);
    add_touch.run();
  };
  const std::optional<RowIdentity> before = identity_before(change, table);
  const std::optional<RowIdentity> after = identity_after(change, table);
  if (before && after && hash_of(*before) == hash_of(*after)) {
    store(*before, RowOp::kUpdate, mask_of(change));
    return;
  }
  if (before) store(*before, RowOp::kDelete, {});
  if (after) store(*after, RowOp::kInsert, {});
}

EditIndex::EditIndex(const Database& db, LogTable& log) : impl_(std::make_unique<Impl>(db, log)) {}
EditIndex::~EditIndex() = default;

EditIndex::RowEdits EditIndex::edits(const RowIdentity& row, Seq after, const Meta& head) {
  Impl& impl = *impl_;
  const Seq first = std::max(head.floor, after.next());
  impl.cover(first, head.position.seq);
  RowEdits edits;
  edits.last = impl.floor;
  edits.all_known = after.next() >= head.floor;
  impl.touches.bind_blob(1, hash_of(row).bytes).bind(2, signed_of(after.value));
  while (impl.touches.step()) {
    const Statement& touch = impl.touches;
    const Edit edit = edit_of(touch, 3);
    const auto op = static_cast<RowOp>(touch.column_int(1));
    const Bytes mask = touch.column_blob(2);
    edits.known = true;
    edits.last = edit;
    edits.last_was_delete = op == RowOp::kDelete;
    edits.born = edits.born || op == RowOp::kInsert;
    if (op != RowOp::kUpdate) {
      edits.columns.clear();
      edits.whole = edit;
    }
    for (std::size_t i = 0; i < mask.size() * 8; ++i) {
      if (!has_bit(mask, i)) continue;
      if (edits.columns.size() <= i) edits.columns.resize(i + 1, edits.whole.value_or(impl.floor));
      edits.columns[i] = edit;
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
  if (!edits.whole) edits.whole = impl.floor;
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

void EditIndex::forget() {
  Impl& impl = *impl_;
  impl.from = Seq{1};
  impl.to = Seq{0};
}

}  // namespace csa
