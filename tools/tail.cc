#include "tools/tail.h"

#include <algorithm>

#include "tools/tail_inbox.h"
#include "tools/tail_line.h"

namespace csa {

Tail::Tail(TailOptions options, Sink sink)
    : options_(std::move(options)), tables_(options_.tables), sink_(std::move(sink)) {}

void Tail::add(std::vector<LogPiece> pieces) {
  for (LogPiece& piece : pieces) pieces_.push_back(std::move(piece));
}

void Tail::on_layout(const LayoutReply& reply) {
  layouts_[reply.schema_version] = parse_layout(reply.json);
  if (begin_ == reply.schema_version) enter(reply.schema_version);
}

void Tail::begin_with(std::uint64_t version) {
  if (!tables_.all()) begin_ = version;
}

// Also more than once.
void Tail::enter(std::uint64_t version) {
  begin_.reset();
  if (version_ == version) return;
  version_ = version;
  if (const Layout* const names = layout(version)) tables_.enter(version, *names);
}

void Tail::on_presence(const Presence& presence) {
  sink_(presence_line(presence, options_.json, options_.colour));
}

void Tail::reached(Seq seq) {
  if (options_.until && pieces_.empty() && seq >= *options_.until) done_ = true;
}

const Layout* Tail::layout(std::uint64_t version) {
  const auto found = layouts_.find(version);
  return found == layouts_.end() || !found->second ? nullptr : &*found->second;
}

std::optional<std::uint64_t> Tail::take_wanted() {
  if (!wanted_ && begin_ && asked_.insert(*begin_).second) return begin_;
  std::optional<std::uint64_t> version = wanted_;
  wanted_.reset();
  return version;
}

Status Tail::print() {
  while (!pieces_.empty() && !done_) {
    const LogPiece& next = pieces_.front();
    if (options_.until && next.header.seq > *options_.until) {
      done_ = true;
      break;
    }
    if (next.header.seq < first_) {
      pieces_.pop_front();
      continue;
    }
    std::uint64_t need = next.header.schema_version;
    if (layouts_.count(need) != 0 && next.header.kind != EntryKind::kChanges) ++need;
    if (layouts_.count(need) == 0) {
      if (asked_.insert(need).second) wanted_ = need;
      return Ok{};
    }
    const LogPiece taken = std::move(pieces_.front());
    pieces_.pop_front();
    CSA_TRY(piece(taken));
  }
  return Ok{};
}

Status Tail::piece(const LogPiece& piece) {
  if (piece.offset == 0) {
    reader_ = ChangeReader();
    enter(piece.header.schema_version);
  }
  reader_.feed(piece.bytes);
  while (!done_) {
    Result<std::optional<Change>> next = reader_.next();
    if (!next) return next.error();
    if (!*next) break;
    change(piece.header, **next);
  }
  if (piece.completes() && options_.until && piece.header.seq >= *options_.until) done_ = true;
  return Ok{};
}

void Tail::change(const EntryHeader& header, const Change& change) {
  if (const auto* const changed = std::get_if<RowChange>(&change)) row(header, *changed);
  if (const auto* const sql = std::get_if<SchemaStatement>(&change)) statement(header, *sql);
}

void Tail::row(const EntryHeader& header, const RowChange& change) {
  const ChangeTable& table = reader_.tables().at(change.table);
  const bool named_itself = tables_.named(table.name);
  if (table_class(table.name) == TableClass::kShared && !named_itself) {
    const NamedChange named = name_change(change, table, layout(version_));
    if (table.name == "csa_inbox" || table.name == "csa_inbox_later") return inbox(header, named);
    return own_row(header, named);
  }
  if (!tables_.all() && !named_itself) return;
  plain_row(header, name_change(change, table, layout(version_)));
}

void Tail::plain_row(const EntryHeader& header, const NamedChange& named) {
  if (!options_.ops.empty() && options_.ops.count(named.op) == 0) return;
  line(options_.json ? json_line(header, named) : people_line(header, named, options_.colour));
}

// A conflict belongs to the table whose row it is about. Only the line of its decision names that
// table: what becomes later of one that was decided before this tail began is shown, as it may be
// about a table that was asked for.
bool Tail::is_about_wanted(const NamedChange& change) {
  const auto value = [](const NamedValues& values, std::string_view name) -> const Value* {
    const auto found = std::ranges::find(values, name, &NamedValues::value_type::first);
    return found == values.end() ? nullptr : &found->second;
  };
  const Value* const id = value(change.key, "id");
  const auto* const number = id == nullptr ? nullptr : std::get_if<std::int64_t>(id);
  const Value* const about = value(change.after, "table_name");
  const auto* const name = about == nullptr ? nullptr : std::get_if<Text>(about);
  if (number == nullptr) return false;
  if (name == nullptr) return others_.count(*number) == 0;
  if (tables_.named(name->utf8)) return true;
  others_.insert(*number);
  return false;
}

// What became of rows of the inbox, one by one.
void Tail::inbox(const EntryHeader& header, const NamedChange& change) {
  for (const NamedChange& one : conflicts_of(change)) {
    if (done_) return;
    if (tables_.named(one.table)) {
      plain_row(header, one);
    } else {
      conflict(header, one);
    }
  }
}

void Tail::conflict(const EntryHeader& header, const NamedChange& change) {
  if (!options_.ops.empty() && options_.ops.count("conflict") == 0) return;
  if (!tables_.all() && !is_about_wanted(change)) return;
  line(conflict_line(header, change, options_.json, options_.colour));
}

// A row of another table of csa's own that nobody has named.
void Tail::own_row(const EntryHeader& header, const NamedChange& change) {
  const bool rule = change.table == "csa_rule";
  if (!rule && (change.table != "csa_lost" || change.op == "delete")) return;
  if (!tables_.all()) return;
  if (rule) return plain_row(header, change);
  if (!options_.ops.empty() && options_.ops.count("offered") == 0) return;
  line(lost_line(header, change, options_.json, options_.colour));
}

void Tail::statement(const EntryHeader& header, const SchemaStatement& statement) {
  enter(header.schema_version + 1);
  if (tables_.all() && options_.ops.empty()) {
    sink_(schema_line(header, statement.sql, options_.json, options_.colour));
  }
}

void Tail::line(const std::string& text) {
  sink_(text);
  ++printed_;
  if (options_.count && printed_ >= *options_.count) done_ = true;
}

}  // namespace csa
