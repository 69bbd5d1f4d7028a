#include "broker/archive.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "broker/spool.h"
#include "common/codec.h"
#include "common/limits.h"
#include "common/random.h"
#include "common/store_meta.h"
#include "tests/support/scratch_folder.h"

namespace csa::archive_test {
namespace {

Bytes noise(std::size_t size, std::uint32_t seed) {
  Bytes bytes(size);
  std::uint32_t state = seed * 2654435761U + 1;
  for (std::uint8_t& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<std::uint8_t>(state >> 24U);
  }
  return bytes;
}

// A master whose log holds entries of given sizes; the rows beside it count the commits.
struct Master {
  Master() : db(folder.file("m.db"), Database::Mode::kCreate) {
    db.exec("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0");
    Transaction transaction(db);
    db.exec("CREATE TABLE part (id INTEGER PRIMARY KEY, body BLOB)");
    create_tables(db);
    meta.tables_version = kTablesVersion;
    meta.db = DbId{random_id()};
    meta.app = "csa";
    meta.group = "shop";
    meta.position.epoch = Epoch{2, random_id()};
    meta.position.chain = Chain{random_id()};
    meta.floor = Seq{1};
    write_meta(db, meta);
    write_layout(db, 1, "{\"part\":{}}");
    write_private(db, "role", "broker");
    write_private(db, "secret", "do not give this away");
    transaction.commit();
    log = std::make_unique<LogTable>(db);
    begin = meta.position;
  }

  void append(std::size_t size) {
    Transaction transaction(db);
    LogPiece piece;
    piece.header.seq = meta.position.seq.next();
    piece.header.tx = TxId{NodeId{random_id()}, 1};
    piece.header.hostname = "till";
    piece.header.schema_version = 1;
    piece.header.size = size;
    const Bytes body = noise(size, static_cast<std::uint32_t>(piece.header.seq.value));
    ChainHasher chain(meta.position.chain, piece.header);
    chain.update(body);
    piece.chain = chain.digest();
    do {
      const std::size_t part = std::min<std::size_t>(size - piece.offset, limits::kPieceMax);
      piece.bytes.assign(body.begin() + static_cast<std::ptrdiff_t>(piece.offset),
                         body.begin() + static_cast<std::ptrdiff_t>(piece.offset + part));
      log->append(piece);
      piece.offset += part;
    } while (piece.offset < size);
    db.exec("INSERT INTO part (body) VALUES (randomblob(3000))");
    meta.position = {meta.position.epoch, piece.header.seq, piece.chain};
    write_meta(db, meta);
    transaction.commit();
    bodies.push_back(body);
    chains.push_back(piece.chain);
  }

  // What a reader gets who asks on and on with `max_bytes`, by entry.
  std::vector<Bytes> read_all(Archive& archive, std::uint32_t max_bytes) {
    std::vector<Bytes> got;
    LogGet request{7, begin, 0, max_bytes};
    while (request.after.seq < meta.position.seq) {
      const auto answer = archive.read_log(request, meta.position);
      REQUIRE(std::holds_alternative<LogSlice>(answer));
      const LogSlice& slice = std::get<LogSlice>(answer);
      CHECK(slice.request == 7);
      REQUIRE(!slice.pieces.empty());
      std::size_t bytes = 0;
      for (const LogPiece& piece : slice.pieces) {
        REQUIRE(piece.header.seq == request.after.seq.next());
        REQUIRE(piece.offset == request.offset);
        if (piece.offset == 0) got.emplace_back();
        got.back().insert(got.back().end(), piece.bytes.begin(), piece.bytes.end());
        bytes += piece.bytes.size();
        CHECK(piece.bytes.size() <= limits::kPieceMax);
        request.offset += piece.bytes.size();
        if (piece.completes()) {
          request.after = {meta.position.epoch, piece.header.seq, piece.chain};
          request.offset = 0;
        }
      }
      CHECK(bytes <= std::max<std::size_t>(max_bytes, 1));
      CHECK(invalid(Message{slice}).value_or("") == "");
    }
    return got;
  }

  ScratchFolder folder;
  Database db;
  Meta meta;
  Position begin;
  std::unique_ptr<LogTable> log;
  std::vector<Bytes> bodies;
  std::vector<Chain> chains;
  Log quiet;
};

Bytes whole(Archive& archive, const SnapshotInfo& info, std::size_t chunk) {
  Bytes bytes;
  while (true) {
    const auto part = archive.read_chunk(info.id, false, bytes.size(), chunk);
    REQUIRE(part.has_value());
    if (part->empty()) return bytes;
    bytes.insert(bytes.end(), part->begin(), part->end());
  }
}

Bytes whole_map(Archive& archive, const SnapshotInfo& info) {
  Bytes bytes;
  while (true) {
    const auto part = archive.read_chunk(info.id, true, bytes.size(), 1000);
    REQUIRE(part.has_value());
    if (part->empty()) return bytes;
    bytes.insert(bytes.end(), part->begin(), part->end());
  }
}

void write_file(const std::string& path, const Bytes& bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}

std::size_t files_in(const std::string& folder) {
  std::error_code none;
  std::size_t count = 0;
  for (std::filesystem::directory_iterator at(folder, none), end; !none && at != end; ++at) ++count;
  return count;
}

}  // namespace

TEST_CASE("catch_up: every reader, tail or copy") {
  const Epoch epoch{2, hash128(as_bytes("e"))};
  const Epoch other{2, hash128(as_bytes("f"))};
  const Chain good{hash128(as_bytes("good"))};
  const Chain bad{hash128(as_bytes("bad"))};
  const Chain top{hash128(as_bytes("top"))};
  const LogState log{{epoch, Seq{10}, top}, Seq{4}, good};
  const LogState no_entry{{epoch, Seq{10}, top}, Seq{4}, std::nullopt};
  struct Line {
    const char* name;
    Position after;
    const LogState& log;
    bool tail;
  };
  const Line lines[] = {
      {"at the head", {epoch, Seq{10}, top}, log, true},
      {"at the head's number, forked", {epoch, Seq{10}, bad}, log, false},
      {"in the log", {epoch, Seq{6}, good}, log, true},
      {"in the log, forked", {epoch, Seq{6}, bad}, log, false},
      {"just before the floor, chain known", {epoch, Seq{3}, good}, log, true},
      {"just before the floor, chain not known", {epoch, Seq{3}, good}, no_entry, false},
      {"below the floor", {epoch, Seq{2}, good}, log, false},
      {"ahead of the head", {epoch, Seq{11}, good}, log, false},
      {"another history of the generation", {other, Seq{6}, good}, log, false},
      {"an older generation", {{1, epoch.id}, Seq{6}, good}, log, false},
      {"a monitor by number", {{}, Seq{6}, {}}, log, true},
      {"a monitor below the floor", {{}, Seq{2}, {}}, log, false},
      {"a monitor at the head", {{}, Seq{10}, {}}, log, true},
      {"a monitor ahead", {{}, Seq{11}, {}}, log, false},
  };
  for (const Line& line : lines) {
    CAPTURE(line.name);
    const CatchUp answer = catch_up(line.after, line.log);
    CHECK(answer.tail == line.tail);
    CHECK(!answer.reason.empty());
  }
}

TEST_CASE("archive: small and large entries, whole again for any max_bytes") {
  Master master;
  for (const std::size_t size :
       {std::size_t{10}, std::size_t{0}, std::size_t{700'000}, std::size_t{1}, limits::kPieceMax,
        limits::kPieceMax + 1, std::size_t{3000}}) {
    master.append(size);
  }
  Archive archive(master.folder.file("m.db"), master.folder.file("spool"), master.quiet);
  for (const std::uint32_t max_bytes : {1000U, 4096U, 99'999U, 262'144U, 1'048'576U, 4'000'000U}) {
    CAPTURE(max_bytes);
    CHECK(master.read_all(archive, max_bytes) == master.bodies);
  }
}

TEST_CASE("archive: one byte at a time, still goes on") {
  Master master;
  master.append(5);
  master.append(0);
  master.append(3);
  Archive archive(master.folder.file("m.db"), master.folder.file("spool"), master.quiet);
  CHECK(master.read_all(archive, 0) == master.bodies);
  CHECK(master.read_all(archive, 1) == master.bodies);
}

TEST_CASE("archive: many small entries, a slice keeps to the number of pieces") {
  Master master;
  for (int i = 0; i < 300; ++i) master.append(20);
  Archive archive(master.folder.file("m.db"), master.folder.file("spool"), master.quiet);
  const auto answer = archive.read_log({1, master.begin, 0, 1'000'000}, master.meta.position);
  REQUIRE(std::holds_alternative<LogSlice>(answer));
  CHECK(std::get<LogSlice>(answer).pieces.size() == 300);
}

TEST_CASE("archive: nothing beyond through, head as through says") {
  Master master;
  for (int i = 0; i < 5; ++i) master.append(50);
  const Position through{master.meta.position.epoch, Seq{3}, master.chains[2]};
  Archive archive(master.folder.file("m.db"), master.folder.file("spool"), master.quiet);
  const auto answer = archive.read_log({1, master.begin, 0, 1'000'000}, through);
  REQUIRE(std::holds_alternative<LogSlice>(answer));
  const LogSlice& slice = std::get<LogSlice>(answer);
  CHECK(slice.head == through);
  REQUIRE(slice.pieces.size() == 3);
  CHECK(slice.pieces.back().header.seq == Seq{3});
  const auto at_head = archive.read_log({2, through, 0, 1000}, through);
  REQUIRE(std::holds_alternative<LogSlice>(at_head));
  CHECK(std::get<LogSlice>(at_head).pieces.empty());
}

TEST_CASE("archive: below the floor, forked, or of another history: LOG_GONE") {
  Master master;
  for (int i = 0; i < 6; ++i) master.append(300'000);
  {
    Transaction transaction(master.db);
    (void)master.log->prune(Seq{4}, Seq{4}, 0, 3);  // some of it only
    master.meta.floor = Seq{4};
    write_meta(master.db, master.meta);
    transaction.commit();
  }
  Archive archive(master.folder.file("m.db"), master.folder.file("spool"), master.quiet);
  const Epoch epoch = master.meta.position.epoch;
  const auto gone = [&](const Position& after) {
    const auto answer = archive.read_log({9, after, 0, 1000}, master.meta.position);
    if (const auto* const text = std::get_if<LogGone>(&answer)) {
      CHECK(text->request == 9);
      CHECK(text->floor == Seq{4});
      CHECK(!text->text.empty());
      return true;
    }
    return false;
  };
  CHECK(gone({epoch, Seq{2}, master.chains[1]}));
  CHECK(gone({epoch, Seq{4}, Chain{random_id()}}));
  CHECK(gone({epoch, Seq{3}, Chain{random_id()}}));  // the floor's predecessor, forked
  CHECK(gone({{1, epoch.id}, Seq{4}, master.chains[3]}));
  CHECK_FALSE(gone({epoch, Seq{3}, master.chains[2]}));  // proved by the entry at the floor
  CHECK_FALSE(gone({epoch, Seq{4}, master.chains[3]}));
  const Position newer{{3, random_id()}, Seq{6}, Chain{}};
  CHECK(std::holds_alternative<LogGone>(archive.read_log({9, {}, 0, 10}, newer)));
}

TEST_CASE("archive: outcomes, counters and layouts") {
  Master master;
  const TxId done{NodeId{random_id()}, 12};
  {
    Transaction transaction(master.db);
    OutcomeTable outcomes(master.db);
    Ack ack;
    ack.tx = done;
    ack.seq = Seq{1};
    ack.schema_version = 1;
    outcomes.add({done, random_id(), ack});
    outcomes.raise_floor(done.node, 5);
    transaction.commit();
  }
  Archive archive(master.folder.file("m.db"), master.folder.file("spool"), master.quiet);
  const auto found = archive.outcome(done);
  REQUIRE(std::holds_alternative<Ack>(found));
  CHECK(std::get<Ack>(found).seq == Seq{1});
  const auto code = [&](std::uint64_t counter) {
    const auto answer = archive.outcome({done.node, counter});
    REQUIRE(std::holds_alternative<Nack>(answer));
    return std::get<Nack>(answer).code;
  };
  CHECK(code(5) == NackCode::kExpired);
  CHECK(code(6) == NackCode::kUnknown);
  CHECK(archive.last_counter(done.node) == 12);
  CHECK(archive.layout(1).json == "{\"part\":{}}");
  CHECK(archive.layout(9).json.empty());
}

TEST_CASE("archive: a copy is whole, at its position, without private rows, and WAL") {
  Master master;
  for (int i = 0; i < 4; ++i) master.append(100'000);
  Archive archive(master.folder.file("m.db"), master.folder.file("spool"), master.quiet);
  const auto info = archive.cut();
  REQUIRE(info.has_value());
  CHECK(info->position == master.meta.position);
  for (int i = 0; i < 3; ++i) master.append(10);  // later commits are not in it
  const Bytes bytes = whole(archive, *info, 70'000);
  CHECK(bytes.size() == info->total);
  CHECK(info->page_size == page_size_of(bytes));
  Bytes map;
  append_page_hashes(bytes, info->page_size, map);
  CHECK(whole_map(archive, *info) == map);
  CHECK(info->map_total() == map.size());
  CHECK(hash128(bytes) == info->hash);
  CHECK(bytes[18] == 2);
  CHECK(bytes[19] == 2);
  CHECK(as_text(bytes).find("do not give this away") == std::string_view::npos);
  CHECK(files_in(master.folder.file("spool")) == 1);

  const std::string path = master.folder.file("copy.db");
  write_file(path, bytes);
  const Database copy(path, Database::Mode::kReadWrite);
  CHECK(copy.query_text("PRAGMA integrity_check") == "ok");
  CHECK(copy.query_text("PRAGMA journal_mode") == "wal");
  CHECK(copy.query_int("SELECT count(*) FROM part") == 4);
  CHECK(copy.query_int("SELECT count(*) FROM csa_private") == 0);
  CHECK(read_meta(copy)->position == info->position);

  archive.drop(info->id);
  CHECK(!archive.read_chunk(info->id, false, 0, 10).has_value());
  CHECK(files_in(master.folder.file("spool")) == 0);
}

TEST_CASE("archive: a writer between the pages of a copy does not reach it") {
  Master master;
  for (int i = 0; i < 3; ++i) master.append(900'000);
  // The same steps as cut(), with commits and checkpoints of the ledger while it reads.
  Database source(master.folder.file("m.db"), Database::Mode::kReadOnly);
  struct Writer {
    Master& master;
    int steps = 0;
    bool busy = false;
  } writer{master};
  sqlite3_progress_handler(
      source.handle(), 1,
      [](void* context) {
        auto& self = *static_cast<Writer*>(context);
        // append() itself does not run on `source`.
        if (!self.busy && self.steps++ < 5) {
          self.busy = true;
          self.master.append(1000);
          self.busy = false;
        }
        return 0;
      },
      &writer);
  const auto spool = Spool::cut(source, master.folder.file("spool"));
  sqlite3_progress_handler(source.handle(), 0, nullptr, nullptr);
  REQUIRE(spool.has_value());
  CHECK(writer.steps > 0);
  const std::string path = master.folder.file("copy.db");
  write_file(path, spool->read(false, 0, spool->info().total).value());
  const Database copy(path, Database::Mode::kReadWrite);
  CHECK(copy.query_text("PRAGMA integrity_check") == "ok");
  CHECK(read_meta(copy)->position == spool->info().position);
  CHECK(copy.query_int("SELECT count(*) FROM part") ==
        static_cast<std::int64_t>(spool->info().position.seq.value));
}

TEST_CASE("archive: no place for a copy, says so and leaves nothing") {
  Master master;
  master.append(10);
  write_file(master.folder.file("file"), Bytes{1});
  Archive archive(master.folder.file("m.db"), master.folder.file("file"), master.quiet);
  const auto info = archive.cut();
  REQUIRE(!info.has_value());
  CHECK(info.error().code == Errc::kFailed);
  CHECK(info.error().what.find(master.folder.file("file")) != std::string::npos);
}

TEST_CASE("archive: leftovers of a dead broker are cleared, other files are not") {
  ScratchFolder folder;
  write_file(folder.file(std::string(32, 'a') + ".csa-spool"), Bytes{1});
  write_file(folder.file(std::string(32, 'a') + ".csa-spool-wal"), Bytes{1});
  write_file(folder.file("mine.csa-spool"), Bytes{1});
  write_file(folder.file("shop.db"), Bytes{1});
  Archive::clear_spool(folder.path());
  CHECK(files_in(folder.path()) == 2);
  CHECK(std::filesystem::exists(folder.file("shop.db")));
  Archive::clear_spool(folder.file("nowhere"));
}

}  // namespace csa::archive_test
