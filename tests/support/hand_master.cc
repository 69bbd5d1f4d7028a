#include "tests/support/hand_master.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "common/check.h"
#include "common/codec.h"
#include "common/limits.h"
#include "common/random.h"
#include "common/schema.h"
#include "common/system_clock.h"

namespace csa {

HandMaster::HandMaster(const std::string& folder, const std::string& schema,
                       const std::string& pragmas)
    : folder_(folder), path_(folder + "/master.db"), db_(path_, Database::Mode::kCreate) {
  db_.exec(pragmas);
  db_.exec("PRAGMA journal_mode=WAL");
  db_.exec("PRAGMA synchronous=OFF");
  Transaction transaction(db_);
  db_.exec(schema);
  create_tables(db_);
  meta_.tables_version = kTablesVersion;
  meta_.db = DbId{random_id()};
  meta_.app = "csa";
  meta_.group = "shop";
  meta_.position.epoch = Epoch{3, random_id()};
  meta_.position.chain = Chain{random_id()};
  meta_.floor = Seq{1};
  meta_.fingerprint = schema_fingerprint(db_);
  write_meta(db_, meta_);
  add_epoch(db_, {meta_.position.epoch, Position{}, wall_now()});
  write_layout(db_, meta_.schema_version, to_json(read_layout(db_)));
  transaction.commit();
  log_ = std::make_unique<LogTable>(db_);
  capture_ = std::make_unique<Capture>(
      db_, Capture::Options{std::uint64_t{1} << 30, limits::kCaptureMemory, folder});
}

HandMaster::~HandMaster() = default;

void HandMaster::exec(std::string_view sql) {
  Transaction transaction(db_);
  capture_->begin();
  db_.exec("SAVEPOINT w");
  db_.exec(sql);
  db_.exec("RELEASE w");
  end_entry(EntryKind::kChanges);
  transaction.commit();
}

void HandMaster::append_copy_entry(const std::string& sql) {
  Transaction transaction(db_);
  capture_->begin();
  db_.exec("SAVEPOINT w");
  db_.exec(sql);
  db_.exec("RELEASE w");
  end_entry(EntryKind::kCopy);
  transaction.commit();
}

void HandMaster::migrate(const std::string& sql) {
  Transaction transaction(db_);
  capture_->begin();
  db_.exec("SAVEPOINT w");
  capture_->begin_statement();
  db_.exec(sql);
  capture_->schema_statement(sql, false);
  capture_->begin_statement();
  capture_->schema_statement(std::string(kFingerprintRemark) + to_string(schema_fingerprint(db_)),
                             false);
  db_.exec("RELEASE w");
  end_entry(EntryKind::kSchema);
  transaction.commit();
}

void HandMaster::end_entry(EntryKind kind) {
  db_.exec("SAVEPOINT f");
  const Spill& body = capture_->finish();
  db_.exec("RELEASE f");
  CSA_CHECK(capture_->status().has_value());
  LogPiece piece;
  piece.header.seq = meta_.position.seq.next();
  piece.header.tx = TxId{NodeId{hash128(as_bytes("a writer"))}, piece.header.seq.value};
  piece.header.time = wall_now();
  piece.header.hostname = "desk";
  piece.header.schema_version = meta_.schema_version;
  piece.header.kind = kind;
  piece.header.request_hash = hash128(as_bytes("a request"));
  piece.header.changes = 1;
  piece.header.size = body.size();
  ChainHasher chain(meta_.position.chain, piece.header);
  for (std::uint64_t at = 0; at < body.size(); at += limits::kPieceMax) {
    chain.update(body.read(at, limits::kPieceMax));
  }
  piece.chain = chain.digest();
  do {
    piece.bytes = body.read(piece.offset, limits::kPieceMax);
    log_->append(piece);
    piece.offset += piece.bytes.size();
  } while (piece.offset < body.size());
  meta_.position.seq = piece.header.seq;
  meta_.position.chain = piece.chain;
  if (kind == EntryKind::kSchema) {
    ++meta_.schema_version;
    write_layout(db_, meta_.schema_version, to_json(read_layout(db_)));
  }
  meta_.fingerprint = schema_fingerprint(db_);
  write_meta(db_, meta_);
}

std::vector<LogPiece> HandMaster::after(Seq seq, std::size_t piece_max) {
  std::vector<LogPiece> pieces;
  for (Seq at = seq.next(); at <= meta_.position.seq; at = at.next()) {
    std::uint64_t offset = 0;
    while (true) {
      const std::optional<LogPiece> piece = log_->read(at, offset, piece_max);
      CSA_CHECK(piece.has_value());
      offset += piece->bytes.size();
      pieces.push_back(*piece);
      if (piece->completes()) break;
    }
  }
  return pieces;
}

HandMaster::Copy HandMaster::copy() {
  const std::string file = folder_ + "/copy-" + to_string(random_id());
  {
    Database to(file, Database::Mode::kCreate);
    sqlite3_backup* const backup = sqlite3_backup_init(to.handle(), "main", db_.handle(), "main");
    CSA_CHECK(backup != nullptr);
    CSA_CHECK(sqlite3_backup_step(backup, -1) == SQLITE_DONE);
    CSA_CHECK(sqlite3_backup_finish(backup) == SQLITE_OK);
    Transaction transaction(to);
    clear_private(to);
    write_meta(to, meta_);
    transaction.commit();
  }
  Copy copy;
  {
    std::ifstream in(file, std::ios::binary);
    copy.bytes.assign(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  copy.end.snapshot = random_id();
  copy.end.total = copy.bytes.size();
  copy.end.hash = hash128(copy.bytes);
  copy.end.position = meta_.position;
  return copy;
}

std::string content_of(const Database& db) {
  std::string content;
  std::vector<std::string> tables;
  Statement schema = db.prepare(
      "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'csa\\_%' ESCAPE '\\'"
      " AND name NOT LIKE 'sqlite\\_autoindex%' ESCAPE '\\' ORDER BY name, type");
  while (schema.step()) {
    if (schema.column_text(0) == "table" && table_info(db, schema.column_text(1))) {
      tables.push_back(schema.column_text(1));
    }
    content += schema.column_text(0) + " " + schema.column_text(1) + ": " + schema.column_text(2);
    content += '\n';
  }
  if (db.query_int("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_sequence'") == 1) {
    tables.emplace_back("sqlite_sequence");
  }
  for (const std::string& table : tables) {
    const std::optional<TableInfo> info = table_info(db, table);
    const bool rowids = info && !info->rowid_name.empty() && table != "sqlite_sequence";
    const std::string key = rowids ? quote(info->rowid_name) + ", " : std::string();
    Statement rows = db.prepare("SELECT " + key + "* FROM " + quote(table) +
                                (table == "sqlite_sequence" ? " ORDER BY name" : ""));
    while (rows.step()) {
      content += table + ":";
      for (int i = 0; i < rows.column_count(); ++i) {
        content += " " + std::to_string(rows.column_value(i).index()) + "=" + rows.column_text(i);
      }
      content += '\n';
    }
  }
  return content;
}

}  // namespace csa
