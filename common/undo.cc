#include "common/undo.h"

#include <utility>

namespace csa {
namespace {

// Every change that is complete in the reader, in order. Nobody can tell a schema statement's
// inverse.
Result<std::vector<Change>> drain(ChangeReader& reader) {
  std::vector<Change> changes;
  while (true) {
    Result<std::optional<Change>> change = reader.next();
    if (!change) return change.error();
    if (!*change) return changes;
    if (std::holds_alternative<SchemaStatement>(**change)) {
      return Error{Errc::kMalformed, "it holds a statement of the schema"};
    }
    changes.push_back(std::move(**change));
  }
}

}  // namespace

// Forward once to learn where each part begins, then part by part from the last one. Parts in which
// no change ends belong to the next one: of a row that takes many, the beginning is kept once.
Status undo_changes(const StoredChanges& changes, const TakeChange& take) {
  struct Start {
    ChangeReader reader;  // as it stands before the part
    std::uint64_t offset = 0;
    std::uint64_t end = 0;
  };
  std::vector<Start> starts;
  ChangeReader reader;
  bool ended = true;  // a change, in the part before
  for (std::uint64_t offset = 0; offset < changes.size;) {
    if (ended) {
      reader.feed({});  // keeps the rest alone
      starts.push_back({reader, offset, offset});
    }
    const Bytes bytes = changes.read(offset);
    if (bytes.empty()) return changes.unreadable("a part is missing");
    offset += bytes.size();
    starts.back().end = offset;
    reader.feed(bytes);
    const auto read = drain(reader);
    if (!read) return changes.unreadable(read.error().what);
    ended = !read->empty();
  }
  if (!reader.at_boundary()) return changes.unreadable("it ends inside a change");
  while (!starts.empty()) {
    Start start = std::move(starts.back());
    starts.pop_back();
    for (std::uint64_t at = start.offset; at < start.end;) {
      const Bytes bytes = changes.read(at);
      if (bytes.empty()) return changes.unreadable("a part is missing");
      at += bytes.size();
      start.reader.feed(bytes);
    }
    const auto part = drain(start.reader);
    if (!part) return changes.unreadable(part.error().what);
    for (auto change = part->rbegin(); change != part->rend(); ++change) {
      CSA_TRY(take(inverse(*change), start.reader.tables()));
    }
  }
  return Ok{};
}

}  // namespace csa
