// csa-sub's core: log pieces in stream order in, lines out. Asks for the column names of each
// schema version it meets before it prints. Pure but for the sink; memory is bounded by the largest
// row and by the pieces of one batch.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/changeset.h"
#include "common/message.h"
#include "common/named_change.h"
#include "common/result.h"
#include "common/schema.h"
#include "tools/tail_tables.h"

namespace csa {

struct TailOptions {
  std::set<std::string> tables;        // empty: all
  std::set<std::string> ops;           // insert, update, delete, conflict, offered; empty: all
  std::optional<Seq> until;            // through it
  std::optional<std::uint64_t> count;  // row changes
  bool json = false;
  bool colour = false;
};

class Tail {
 public:
  using Sink = std::function<void(const std::string& line)>;
  Tail(TailOptions options, Sink sink);

  void add(std::vector<LogPiece> pieces);
  // Entries before `first` are not printed.
  void skip_before(Seq first) { first_ = first; }
  // The schema version in force before the first entry comes: tables that were asked for are looked
  // up in it at once, as that entry may be long in coming.
  void begin_with(std::uint64_t version);
  void on_layout(const LayoutReply& reply);
  void on_presence(const Presence& presence);
  // Prints as far as it can. Error: damaged changes; the log must be asked again from position().
  [[nodiscard]] Status print();
  // A schema version whose names are needed to go on; asked once.
  [[nodiscard]] std::optional<std::uint64_t> take_wanted();
  // What is to be said of tables that were asked for and are not there.
  [[nodiscard]] std::vector<std::string> take_notices() { return tables_.take_notices(); }
  // What was asked for is lost with the link: ask again.
  void forget_wanted() { asked_.clear(); }
  [[nodiscard]] bool waiting() const { return !pieces_.empty(); }
  // --until or --count was reached.
  [[nodiscard]] bool done() const { return done_; }
  // --until lies at or before `head`, and everything up to it was printed.
  void reached(Seq seq);

 private:
  [[nodiscard]] const Layout* layout(std::uint64_t version);
  void enter(std::uint64_t version);
  [[nodiscard]] Status piece(const LogPiece& piece);
  void change(const EntryHeader& header, const Change& change);
  void row(const EntryHeader& header, const RowChange& change);
  [[nodiscard]] bool is_about_wanted(const NamedChange& change);
  void plain_row(const EntryHeader& header, const NamedChange& named);
  void own_row(const EntryHeader& header, const NamedChange& change);
  void inbox(const EntryHeader& header, const NamedChange& change);
  void conflict(const EntryHeader& header, const NamedChange& change);
  void statement(const EntryHeader& header, const SchemaStatement& statement);
  void line(const std::string& text);

  TailOptions options_;
  TailTables tables_;
  Sink sink_;
  std::deque<LogPiece> pieces_;
  std::map<std::uint64_t, std::optional<Layout>> layouts_;  // nullopt: the broker knows none
  std::set<std::uint64_t> asked_;
  std::optional<std::uint64_t> wanted_;
  ChangeReader reader_;
  std::optional<std::uint64_t> begin_;  // begin_with()'s, until a layout is in force
  std::uint64_t version_ = 0;           // of the layout in force inside the present entry
  std::uint64_t printed_ = 0;
  std::set<std::int64_t> others_;  // conflicts about tables that were not asked for
  Seq first_;
  bool done_ = false;
};

}  // namespace csa
