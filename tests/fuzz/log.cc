// Pieces of a broken or hostile log into a replica: applied or refused in words. A transaction that
// is rolled back leaves nothing behind, and the master's next entry still applies.
#include "common/codec.h"
#include "common/log_applier.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/hand_master.h"
#include "tests/support/hostile_journal.h"
#include "tests/support/scratch_folder.h"

namespace csa::fuzz::log_target {
namespace {

struct Bench {
  ScratchFolder folder;
  HandMaster master{folder.path(), test::kHostileSchema};
  std::string path = folder.file("replica.db");
  std::optional<Database> db;
  std::optional<LogApplier> applier;
  std::vector<LogPiece> honest;
  std::string content;

  Bench() {
    {
      const Database copy(path, Database::Mode::kCreate);
      test::backup(master.db(), copy);
    }
    db.emplace(path, Database::Mode::kReadWrite);
    applier.emplace(*db, read_meta(*db).value());
    const Seq before = master.meta().position.seq;
    master.exec("INSERT INTO part VALUES (9, 'washer', 1); UPDATE note SET at = 3");
    honest = master.after(before);
    content = content_of(*db);
  }
};

// Entries that follow each other, but for what the choices break.
std::vector<LogPiece> pieces_of(fuzz::Choices& input, const Bench& bench) {
  std::vector<LogPiece> pieces;
  Seq seq = bench.applier->meta().position.seq;
  Chain chain = bench.applier->meta().position.chain;
  while (!input.empty() && pieces.size() < 20) {
    const std::uint8_t breaks = input.byte();
    LogPiece piece;
    piece.header = bench.honest.front().header;
    piece.header.seq = (breaks & 0x80U) != 0 ? Seq{seq.value + input.byte()} : seq.next();
    piece.header.kind = static_cast<EntryKind>(1 + breaks % 3);
    piece.header.schema_version += (breaks & 0x08U) != 0 ? 1 : 0;
    const ByteView body = input.block();
    piece.bytes.assign(body.begin(), body.end());
    piece.header.size = body.size();
    ChainHasher hasher(chain, piece.header);
    hasher.update(body);
    piece.chain = (breaks & 0x40U) != 0 ? Chain{} : hasher.digest();
    seq = piece.header.seq;
    chain = piece.chain;
    if ((breaks & 0x20U) != 0 && body.size() > 1) {
      LogPiece rest = piece;
      piece.bytes.resize(body.size() / 2);
      rest.bytes.erase(rest.bytes.begin(),
                       rest.bytes.begin() + static_cast<std::ptrdiff_t>(body.size() / 2));
      rest.offset = (breaks & 0x10U) != 0 ? input.byte() : body.size() / 2;
      pieces.push_back(std::move(piece));
      pieces.push_back(std::move(rest));
    } else {
      pieces.push_back(std::move(piece));
    }
  }
  return pieces;
}

// SQLite's own words for what a hostile entry made it meet are an answer too: the store takes a
// full copy.
bool apply_and_roll_back(Bench& bench, const std::vector<LogPiece>& pieces) {
  bool done = false;
  try {
    const Transaction transaction(*bench.db);
    const Seq before = bench.applier->meta().position.seq;
    const Result<LogApplier::Outcome> outcome = bench.applier->apply(pieces);
    done = outcome.has_value();
    fuzz::prove(done || !outcome.error().what.empty(), "log: an error without a sentence");
    fuzz::prove(!done || bench.applier->meta().position.seq.value - before.value <= pieces.size(),
                "log: it has moved too far");
  } catch (const SqliteError& error) {
    fuzz::prove(error.code() != SQLITE_MISUSE, "log: misuse");
  }
  bench.applier->rolled_back();
  return done;
}

}  // namespace

CSA_FUZZ_TARGET(log) {
  static std::unique_ptr<Bench> bench;
  static int runs = 0;
  if (!bench) bench = std::make_unique<Bench>();
  fuzz::Choices input({data, size});
  const std::vector<LogPiece> pieces = pieces_of(input, *bench);
  if (pieces.empty()) return 0;
  (void)bench->applier->all_known(pieces);
  (void)apply_and_roll_back(*bench, pieces);
  fuzz::prove(apply_and_roll_back(*bench, bench->honest), "log: the honest entry is refused");
  if (++runs % 20 == 0) {
    fuzz::prove(content_of(*bench->db) == bench->content, "log: something was left behind");
  }
  return 0;
}

}  // namespace csa::fuzz::log_target
