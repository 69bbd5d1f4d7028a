// Who writes in a story of edits (edit_story.h): the story's tables, one edit, and an author, which
// makes edits of what its own copy holds.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace csa::test {

// The columns of each of the story's tables; of a document `key` and `a` alone.
struct StoryRow {
  std::string key, a, b, w;
  std::int64_t n = 0, hi = 0, lo = 0;
};

struct StoryEdit {
  std::int64_t at = 0;   // ascending, none twice
  std::size_t node = 0;  // 0, 1, ...
  bool online = false;   // made at the master, by a node that had not parted yet
  std::string sql;
  std::string own;                 // the text that it writes, nobody else's; empty: none
  std::string table, key;          // that the row had first
  std::optional<StoryRow> before;  // the row at the node; nothing: there was none
  std::optional<StoryRow> image;   // and afterwards; nothing: it was deleted
  bool key_changed = false, a = false, b = false, w = false;
  std::int64_t added = 0;            // to n
  std::vector<StoryEdit> more = {};  // other rows of the same transaction
};
// The edit, and what it does to other rows.
[[nodiscard]] std::vector<const StoryEdit*> parts_of(const StoryEdit& edit);

// What authors do.
struct StoryStyle {
  std::size_t common = 0;  // the table that all of them like best
  bool deletes = false;    // rows
  bool renames = false;    // them, where it deletes none
  bool appends = false;    // to w
  bool pairs = false;      // now and then both first rows in one transaction
};

struct StoryTable {
  const char* name;
  const char* key;     // columns with their types, and constraint
  const char* values;  // of a row's key; # stands for it
  const char* where;   // to find it
  const char* shown;   // the key as text
  bool takes_chosen;   // two nodes may insert the same key
};
inline constexpr StoryTable kStoryTables[] = {
    {"story_int", "id INTEGER PRIMARY KEY, @", "#", "id = #", "id", true},
    {"story_text", "k TEXT PRIMARY KEY, @", "'#'", "k = '#'", "k", true},
    {"story_pair", "x INTEGER, k TEXT, @, PRIMARY KEY (k, x)", "5, '#'", "x = 5 AND k = '#'", "k",
     true},
    {"story_null", "x INTEGER, k TEXT, @, PRIMARY KEY (x, k)", "NULL, '#'", "k = '#'", "k", false},
    {"story_loose", "k TEXT, @", "'#'", "k = '#'", "k", false},
};
inline constexpr const char* kStoryDocuments = "story_doc";

using StoryKey = std::pair<std::string, std::string>;  // table, key
using StoryRows = std::map<StoryKey, StoryRow>;
[[nodiscard]] StoryRows first_story_rows();
// They and what is in them first.
[[nodiscard]] std::string story_schema();

// Knows the rows that were there when it began, and its own edits.
class StoryAuthor {
 public:
  // `engine` must outlive this.
  StoryAuthor(std::mt19937_64& engine, const StoryStyle& style) : engine_(&engine), style_(style) {}
  // Makes `edit`, which writes the text `own`.
  void write(StoryEdit& edit, const std::string& own);

 private:
  [[nodiscard]] std::int64_t roll(std::int64_t sides);
  void change(StoryEdit& edit, const StoryTable& table, const std::string& own);
  [[nodiscard]] bool write_both(StoryEdit& edit, const StoryTable& table, const std::string& own);
  void reword(StoryEdit& edit, const std::string& whole);
  void write_document(StoryEdit& edit, const std::string& own);
  static void add_family(StoryEdit& edit, const std::string& own);

  std::mt19937_64* engine_;
  StoryStyle style_;
  StoryRows rows_ = first_story_rows();
  std::set<StoryKey> deleted_;
};

}  // namespace csa::test
