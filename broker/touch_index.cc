#include "broker/touch_index.h"

#include <algorithm>
#include <utility>

#include "broker/master_history.h"
#include "broker/merge_table.h"
#include "common/change_bytes.h"
#include "common/codec.h"
#include "common/limits.h"

namespace csa {
namespace {

// In the index alone: the row got another key; content is its other name.
constexpr TouchOp kMovedAway{16};
constexpr TouchOp kMovedHere{17};

constexpr const char* kSchema = R"(
  PRAGMA journal_mode=OFF;
  PRAGMA synchronous=OFF;
  CREATE TABLE entry (seq INTEGER PRIMARY KEY, changed INTEGER, edited INTEGER, error INTEGER,
                      node BLOB, journaled INTEGER);
)";

// In place of a schema version: nobody knows which columns the row had.
constexpr std::uint64_t kUnknown = UINT64_MAX;

// One bit a column that the change gave another value.
Bytes mask_of(const RowChange& change, const ChangeTable& table) {
  Bytes mask((table.column_count + 7) / 8, 0);
  for (std::size_t i = 0; i < change.new_values.size(); ++i) {
    if (change.new_values[i]) set_bit(mask, i);
  }
  for (std::size_t k = 0; change.new_key && k < table.key_columns.size(); ++k) {
    if (change.key[k] != (*change.new_key)[k]) set_bit(mask, table.key_columns[k]);
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

Row content_of(const RowIdentity& name) {
  Row content = name.key;
  content.emplace_back(std::int64_t{name.by_rowid ? 1 : 0});
  return content;
}

std::optional<Row> row_of(const Bytes& content) {
  Result<RowSet> rows = decode_rows(content);
  if (!rows || rows->rows.empty()) return std::nullopt;
  return std::move(rows->rows.front());
}

// Of a table that was there before and stays there, no other statement changes the columns.
bool is_alter(const Change& change) {
  const auto* const statement = std::get_if<SchemaStatement>(&change);
  return statement != nullptr && lower(statement->sql).find("alter") != std::string::npos &&
         !parse_renames_remark(statement->sql);
}

}  // namespace

void TouchIndex::begin_anew(Seq first) {
  touches_.clear();
  for (Statement* const old : {&add_entry_, &changed_, &edit_}) *old = Statement();
  index_.emplace(std::string(), Database::Mode::kCreate);
  index_->exec(kSchema);
  // It ends with the index: what a commit would write is read by nobody else.
  index_->exec("BEGIN");
  add_entry_ = index_->prepare("INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
  has_tables_ = false;
  changed_ = index_->prepare("SELECT changed FROM entry WHERE seq = ?1");
  edit_ = index_->prepare("SELECT edited, error, node, journaled FROM entry WHERE seq = ?1");
  told_ = Seq{0};
  from_ = first;
  to_ = Seq{first.value - 1};
  proof_.emplace(db_, log_);
  damaged_.reset();
  floor_ = latest_before(db_, log_, first);
}

bool TouchIndex::cover(Seq first, Seq last) {
  const bool anew = !index_ || first < from_ || to_ < from_;
  if (anew) begin_anew(first);
  if (to_ >= last) return anew;
  for (Seq seq = to_.next(); seq <= last; seq = seq.next()) {
    if (proof_->doubts(seq)) {
      damaged_ = seq;
    } else {
      read_entry(seq);
    }
  }
  to_ = last;
  return anew;
}

namespace {

// Every change of an entry, as far as it can be read.
template <class Visit>
void each_change(LogTable& log, const EntryHeader& header, Visit visit) {
  ChangeReader reader;
  for (std::uint64_t at = 0; at < header.size;) {
    const std::optional<LogPiece> piece = log.read(header.seq, at, limits::kPieceMax);
    if (!piece || piece->bytes.empty()) return;
    at += piece->bytes.size();
    reader.feed(piece->bytes);
    while (true) {
      const Result<std::optional<Change>> change = reader.next();
      if (!change || !*change) break;
      visit(**change, reader.tables());
    }
  }
}

}  // namespace

void TouchIndex::read_entry(Seq seq) {
  const std::optional<LogTable::Entry> entry = log_.entry(seq);
  if (!entry) return;
  const EntryHeader& header = entry->header;
  reading_ = seq;
  n_ = 0;
  came_back_.clear();
  deletes_ = false;
  left_.clear();
  Layouts layouts{header.schema_version, header.schema_version};
  if (header.kind == EntryKind::kSchema) {
    ++layouts.after;
    folds_.clear();
    shadows_.clear();
    places_.forget();
    each_change(log_, header, [&layouts](const Change& change, const std::vector<ChangeTable>&) {
      if (is_alter(change)) ++layouts.alters;
    });
  }
  each_change(log_, header, [&](const Change& change, const std::vector<ChangeTable>& tables) {
    if (is_alter(change)) ++layouts.seen;
    if (const auto* const row = std::get_if<RowChange>(&change)) {
      add(*row, tables.at(row->table), layouts);
    }
  });
  add_entry_.bind(1, signed_of(seq.value)).bind(2, n_).bind(3, header.edited.ms);
  add_entry_.bind(4, std::int64_t{header.edited_error_ms});
  add_entry_.bind_blob(5, header.tx.node.value.bytes);
  add_entry_.bind(6, std::int64_t{header.edited != header.time});
  add_entry_.run();
}

void TouchIndex::store(const Id128& row, TouchOp op, TouchMasks masks,
                       const std::optional<Row>& content, std::uint64_t version) {
  StoredTouch touch{row, reading_, n_++, op, std::move(masks.mask), {}, version};
  touch.given = std::move(masks.given);
  if (content) touch.content = encode_rows({{}, {*content}});
  touches_.add(std::move(touch));
}

// By which version's layout the columns of a row at this place of the entry are counted.
std::uint64_t TouchIndex::version_of(const std::string& table, const Layouts& layouts) {
  if (layouts.seen == layouts.alters) return layouts.after;
  if (layouts.seen == 0) return layouts.before;
  const ColumnPlaces::Places* const places = places_.find(table, layouts.before, layouts.after);
  return places != nullptr && places->is_begin() ? layouts.after : kUnknown;
}

void TouchIndex::add(const RowChange& change, const ChangeTable& table, const Layouts& layouts) {
  if (table.name == kTouchTable) return add_mark(change, layouts.after);
  if (table_class(table.name) != TableClass::kApplication) return;
  if (shadows_.kind(table.name) == ShadowTables::Kind::kDerived) return;
  if (!left_.empty() && left_.contains(hash_of(whole_table(table.name)))) return;
  std::optional<RowIdentity> before = identity_before(change, table);
  std::optional<RowIdentity> after = identity_after(change, table);
  for (std::optional<RowIdentity>* const row : {&before, &after}) {
    if (*row && !(*row)->by_rowid) (*row)->folds = folds_of(table.name);
  }
  const std::uint64_t version = version_of(table.name, layouts);
  if (before && after) {
    const Id128 name = hash_of(*before);
    if (name == hash_of(*after)) {
      return store(name, TouchOp::kChanged, {mask_of(change, table), {}}, {}, version);
    }
  }
  if (before && after) {
    TouchMasks mask{mask_of(change, table), {}};
    store(hash_of(*before), kMovedAway, mask, content_of(*after), version);
    return store(hash_of(*after), kMovedHere, mask, content_of(*before), version);
  }
  if (before) store(hash_of(*before), TouchOp::kGone, {}, row_before(change, table), version);
  deletes_ = deletes_ || before;
  if (after && !came_back_.contains(hash_of(*after))) {
    const bool again = deletes_ && !after->by_rowid && has_rows_by_key(table);
    store(hash_of(*after), TouchOp::kBorn, {}, again ? row_after(change, table) : std::nullopt,
          version);
  }
}

// An application chooses the keys; virtual tables' own rows are deleted and inserted as they
// please.
bool TouchIndex::has_rows_by_key(const ChangeTable& table) {
  if (table.declared_key.empty() && table.key_columns.empty()) return false;
  return shadows_.kind(table.name) == ShadowTables::Kind::kNone;
}

void TouchIndex::add_mark(const RowChange& change, std::uint64_t version) {
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
  if (touched == TouchOp::kBack) came_back_.insert(row);
  if (touched == TouchOp::kLeft) left_.insert(row);
  if (touched >= TouchOp::kBorn && touched <= TouchOp::kOthers && touched != TouchOp::kLeft) {
    has_tables_ = has_tables_ || touched == TouchOp::kOthers;
    store(row, touched, unpacked_masks(touched, *mask), {}, version);
  }
}

const std::vector<KeyFold>& TouchIndex::folds_of(const std::string& table) {
  const auto [known, fresh] = folds_.try_emplace(table);
  if (fresh) {
    if (const std::optional<TableInfo> info = table_info(db_, table)) {
      known->second = key_folds(db_, *info);
    }
  }
  return known->second;
}

// What content_of() told.
std::optional<RowIdentity> TouchIndex::name_of(const Row& content) {
  if (content.empty()) return std::nullopt;
  RowIdentity name{asked_, content, content.back() == Value(std::int64_t{1})};
  name.key.pop_back();
  if (!name.by_rowid) name.folds = folds_of(asked_);
  return name;
}

void TouchIndex::ask(const Place& place, const std::string& table, std::uint64_t now) {
  asked_ = table;
  now_ = now;
  std::optional<Id128> too;
  if (has_tables_) too = hash_of(whole_table(table));
  touches_.ask(place.row, too, place.seq, place.n);
}

std::optional<TouchIndex::Found> TouchIndex::next() {
  const StoredTouch* const stored = touches_.next();
  if (stored == nullptr) return std::nullopt;
  Found found;
  Touch& touch = found.touch;
  touch.seq = stored->seq;
  touch.n = stored->n;
  touch.op = stored->op;
  touch.mask = stored->mask;
  touch.given = stored->given;
  tell_entry(touch);
  const Bytes& content = stored->content;
  const bool away = touch.op == kMovedAway;
  if (away || touch.op == kMovedHere) {
    found.move = away ? Move::kAway : Move::kHere;
    if (const std::optional<Row> name = row_of(content)) found.other = name_of(*name);
    touch.op = TouchOp::kChanged;
  }
  place_columns(found.move == Move::kNone ? content : Bytes(), stored->version, touch);
  return found;
}

// Rows of one transaction mostly come together.
void TouchIndex::tell_entry(Touch& touch) {
  if (touch.seq != told_) {
    edit_.bind(1, signed_of(touch.seq.value));
    const bool known = edit_.step();
    told_edit_ = known ? edit_of(edit_, 0) : Edit{};
    told_journaled_ = known && edit_.column_int(3) != 0;
    edit_.reset();
    told_ = touch.seq;
  }
  touch.edit = told_edit_;
  touch.journaled = told_journaled_;
}

// The touch's columns, and what the row was, from the layout of `version` to that of who asks.
void TouchIndex::place_columns(const Bytes& content, std::uint64_t version, Touch& touch) {
  const std::optional<Row> row = content.empty() ? std::nullopt : row_of(content);
  if (version == now_) {
    if (row) touch.content.emplace(row->begin(), row->end());
    return;
  }
  const ColumnPlaces::Places* const places = places_.find(asked_, version, now_);
  touch.mask = placed(touch.mask, places);
  touch.given = placed(touch.given, places);
  if (places == nullptr) return;
  if (row && row->size() == places->to.size()) {
    touch.content.emplace(places->count);
    for (std::size_t i = 0; i < row->size(); ++i) {
      if (places->to[i]) (*touch.content)[*places->to[i]] = (*row)[i];
    }
  }
}

// nullptr: which columns it were is not known, any of them.
Bytes TouchIndex::placed(const Bytes& then, const ColumnPlaces::Places* places) {
  if (places == nullptr) {
    const bool any = std::ranges::any_of(then, [](std::uint8_t bits) { return bits != 0; });
    const auto* const present = any ? places_.find(asked_, now_, now_) : nullptr;
    if (present == nullptr) return {};
    Bytes all((present->count + 7) / 8, 0);
    for (std::size_t i = 0; i < present->count; ++i) set_bit(all, i);
    return all;
  }
  Bytes mask((places->count + 7) / 8, 0);
  for (std::size_t i = 0; i < places->to.size() && i / 8 < then.size(); ++i) {
    if (has_bit(then, i) && places->to[i]) set_bit(mask, *places->to[i]);
  }
  return mask;
}

std::uint64_t TouchIndex::touches_of(Seq seq) {
  if (!index_) return 0;
  changed_.bind(1, signed_of(seq.value));
  const bool found = changed_.step();
  const std::int64_t count = found ? changed_.column_int(0) : 0;
  changed_.reset();
  return unsigned_of(count);
}

void TouchIndex::forget() {
  damaged_.reset();
  from_ = Seq{1};
  to_ = Seq{0};
  folds_.clear();
  shadows_.clear();
  places_.forget();
}

}  // namespace csa
