// A changeset is read alike in pieces of any size; what is read is written so that it is read
// again, and its inverse's inverse is itself.
#include "common/changeset.h"

#include "tests/fuzz/fuzz.h"

namespace csa::fuzz::changeset_target {
namespace {

struct Read {
  Bytes again;
  std::size_t count = 0;
  bool sound = false;
};

// Changes as they are encoded anew; false where the encoding cannot be: the table lists grow with
// schema statements.
Read read(ByteView bytes, std::size_t piece) {
  ChangeReader reader;
  ChangeEncoder encoder;
  Read result;
  while (true) {
    Result<std::optional<Change>> next = reader.next();
    if (!next) {
      fuzz::prove(!next.error().what.empty(), "changeset: an error without a sentence");
      return result;
    }
    if (!*next) {
      if (bytes.empty()) break;
      const std::size_t length = std::min(piece, bytes.size());
      reader.feed(bytes.first(length));
      bytes = bytes.subspan(length);
      continue;
    }
    ++result.count;
    Change change = std::move(**next);
    if (auto* const row = std::get_if<RowChange>(&change)) {
      row->table = encoder.table(reader.tables().at(row->table), result.again);
    }
    encoder.append(change, result.again);
    if (std::holds_alternative<SchemaStatement>(change)) {
      encoder.reset();
    } else {
      Bytes there;
      Bytes back;
      ChangeEncoder one = encoder;
      one.append(change, there);
      one.append(inverse(inverse(change)), back);
      const auto* const row = std::get_if<RowChange>(&change);
      // An insert that SQLite numbered is not told so by its inverse.
      if (row == nullptr || !row->assigned) {
        fuzz::prove_same(back, there, "changeset: the inverse's inverse is another change");
      }
    }
  }
  result.sound = reader.at_boundary();
  return result;
}

}  // namespace

CSA_FUZZ_TARGET(changeset) {
  const ByteView input{data, size};
  const Read whole = read(input, size + 1);
  const Read parts = read(input, 3);
  fuzz::prove(parts.count == whole.count && parts.sound == whole.sound, "changeset: by parts");
  fuzz::prove_same(parts.again, whole.again, "changeset: by parts it is another one");
  if (!whole.sound) return 0;
  const Read again = read(whole.again, 1000);
  fuzz::prove(again.sound && again.count == whole.count, "changeset: what was written is not read");
  fuzz::prove_same(again.again, whole.again, "changeset: written again it is another one");
  return 0;
}

}  // namespace csa::fuzz::changeset_target
