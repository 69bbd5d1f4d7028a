#include "common/store_meta.h"

#include <algorithm>
#include <array>
#include <map>

#include "common/row_sum.h"
#include "common/tables_sql.h"

namespace csa {
namespace {

std::optional<Id128> id_of(const Value& value) {
  const auto* const bytes = std::get_if<Bytes>(&value);
  Id128 id;
  if (bytes == nullptr || bytes->size() != id.bytes.size()) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), id.bytes.begin());
  return id;
}

// Rows of csa_meta by key; remembers the first one that is missing or of another type.
class MetaRows {
 public:
  explicit MetaRows(const Database& db) {
    Statement rows = db.prepare("SELECT key, value FROM csa_meta");
    while (rows.step()) values_[rows.column_text(0)] = rows.column_value(1);
  }
  std::uint64_t number(const std::string& key) {
    const auto* const number = find<std::int64_t>(key);
    return number == nullptr ? 0 : unsigned_of(*number);
  }
  std::string text(const std::string& key) {
    const auto* const text = find<Text>(key);
    return text == nullptr ? std::string() : text->utf8;
  }
  Id128 id(const std::string& key) {
    const auto found = values_.find(key);
    const std::optional<Id128> id = found == values_.end() ? std::nullopt : id_of(found->second);
    if (!id) note(key);
    return id.value_or(Id128{});
  }
  [[nodiscard]] const std::string& wrong() const { return wrong_; }

 private:
  template <class T>
  const T* find(const std::string& key) {
    const auto found = values_.find(key);
    const T* const value = found == values_.end() ? nullptr : std::get_if<T>(&found->second);
    if (value == nullptr) note(key);
    return value;
  }
  void note(const std::string& key) {
    if (wrong_.empty()) wrong_ = key;
  }

  std::map<std::string, Value> values_;
  std::string wrong_;
};

// The tables whose rows end with their sum, and what it is over.
struct Summed {
  std::string_view name;
  std::string_view columns;
};
constexpr std::array kSummed = {
    Summed{"csa_epoch",
           "generation, id, parent_generation, parent_id, parent_seq, parent_chain, started_ms"},
    Summed{"csa_layout", "schema_version, json"},
    Summed{"csa_outcome",
           "node, counter, request_hash, seq, changes, last_insert_rowid, schema_version, code,"
           " statement, message, rows, replay"},
    Summed{"csa_outcome_floor", "node, counter"},
};

bool has_sums(const Database& db) {
  return db.query_int("SELECT 1 FROM pragma_table_info('csa_outcome') WHERE name = 'sum'") == 1;
}

std::string sum_of(const Summed& table) { return "csa_sum(" + std::string(table.columns) + ")"; }

}  // namespace

void create_tables(const Database& db) { db.exec(kTablesSql); }

bool upgrade_tables(const Database& db) {
  if (has_sums(db)) return false;
  for (const Summed& table : kSummed) {
    const std::string name(table.name);
    db.exec("ALTER TABLE " + name + " ADD COLUMN sum INTEGER; UPDATE " + name +
            " SET sum = " + sum_of(table));
  }
  // Nothing has proved it so far: where csa_meta contradicts it, nothing shall.
  db.exec(
      "UPDATE csa_epoch SET sum = NULL WHERE (SELECT id FROM csa_epoch ORDER BY generation DESC"
      " LIMIT 1) IS NOT (SELECT value FROM csa_meta WHERE key = 'epoch') OR (SELECT"
      " max(generation) FROM csa_epoch) IS NOT (SELECT value FROM csa_meta WHERE key ="
      " 'generation')");
  db.exec("UPDATE csa_meta SET value = " + std::to_string(kTablesVersion) +
          " WHERE key = 'tables_version'");
  return true;
}

bool step_sound(Statement& rows, std::string_view table, int values) {
  if (!rows.step()) return false;
  if (is_row_sound(rows.handle(), values)) return true;
  rows.reset();
  throw SqliteError(SQLITE_CORRUPT, "a row of " + std::string(table) + " is not what was written");
}

std::optional<std::string> unsound_row(const Database& db) {
  if (!has_sums(db)) return std::nullopt;
  for (const Summed& table : kSummed) {
    const std::string name(table.name);
    if (db.query_int("SELECT 1 FROM " + name + " WHERE sum <> " + sum_of(table))) {
      return "a row of " + name + " is not what was written";
    }
  }
  return std::nullopt;
}

bool has_tables(const Database& db) {
  return db.query_int(
               "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'csa_meta'")
             .value_or(0) > 0;
}

// Commits are counted from the first one on, see wal_base.h.
bool has_meta(const Database& db) {
  return db.query_int("SELECT EXISTS (SELECT 1 FROM csa_meta WHERE key <> 'commits')") == 1;
}

Result<Meta> read_meta(const Database& db) {
  MetaRows rows(db);
  Meta meta;
  meta.tables_version = signed_of(rows.number("tables_version"));
  // Said first: a newer csa may well keep the other values in another way.
  if (meta.tables_version > kTablesVersion) {
    return Error{Errc::kRefused, "the csa tables are of version " +
                                     std::to_string(meta.tables_version) +
                                     ", made by a newer csa; this one knows version " +
                                     std::to_string(kTablesVersion) + ": install the newer one"};
  }
  meta.db = DbId{rows.id("db")};
  meta.app = rows.text("app");
  meta.group = rows.text("group");
  meta.position.epoch = Epoch{rows.number("generation"), rows.id("epoch")};
  meta.position.seq = Seq{rows.number("seq")};
  meta.position.chain = Chain{rows.id("chain")};
  meta.floor = Seq{rows.number("floor")};
  meta.schema_version = rows.number("schema_version");
  meta.fingerprint = rows.id("fingerprint");
  if (!rows.wrong().empty()) {
    return Error{Errc::kDamaged, "csa_meta has no sound value of \"" + rows.wrong() + "\""};
  }
  if (meta.tables_version < 1 || meta.position.epoch.generation == 0 || meta.schema_version == 0 ||
      meta.position.seq.value >= kSeqsMax || meta.floor > meta.position.seq.next() ||
      meta.floor.value == 0) {
    return Error{Errc::kDamaged, "csa_meta contradicts itself (" + to_string(meta.position) +
                                     ", floor " + std::to_string(meta.floor.value) + ")"};
  }
  return meta;
}

void write_meta(const Database& db, const Meta& meta) {
  Statement write = db.prepare(
      "INSERT OR REPLACE INTO csa_meta VALUES ('tables_version', ?1), ('db', ?2), ('app', ?3),"
      " ('group', ?4), ('generation', ?5), ('epoch', ?6), ('seq', ?7), ('chain', ?8),"
      " ('floor', ?9), ('schema_version', ?10), ('fingerprint', ?11)");
  write.bind(1, meta.tables_version)
      .bind_blob(2, meta.db.value.bytes)
      .bind(3, meta.app)
      .bind(4, meta.group)
      .bind(5, signed_of(meta.position.epoch.generation))
      .bind_blob(6, meta.position.epoch.id.bytes)
      .bind(7, signed_of(meta.position.seq.value))
      .bind_blob(8, meta.position.chain.value.bytes)
      .bind(9, signed_of(meta.floor.value))
      .bind(10, signed_of(meta.schema_version))
      .bind_blob(11, meta.fingerprint.bytes);
  write.run();
}

std::optional<std::string> meta_mismatch(const Database& db, const Meta& meta) {
  const auto layout = unsigned_of(
      db.query_int("SELECT ifnull(max(schema_version), 0) FROM csa_layout").value_or(0));
  if (layout != meta.schema_version) {
    return "csa_meta speaks of schema version " + std::to_string(meta.schema_version) +
           ", csa_layout of " + std::to_string(layout);
  }
  const Seq seq = meta.position.seq;
  const std::string stands = "csa_meta stands at seq " + std::to_string(seq.value) + ", and ";
  const std::int64_t last = db.query_int("SELECT max(part_id) FROM csa_log").value_or(0);
  if (last >= first_log_part(seq.next())) return stands + "csa_log goes on behind it";
  if (seq < meta.floor) return std::nullopt;
  Statement there = db.prepare("SELECT 1 FROM csa_log WHERE part_id = ?1");
  if (there.bind(1, first_log_part(seq)).step()) return std::nullopt;
  return stands + "csa_log does not reach it";
}

std::uint64_t told_schema_version(const Database& db, const Meta& meta) {
  Statement layouts = db.prepare("SELECT count(*), ifnull(max(schema_version), 0) FROM csa_layout");
  const bool whole = layouts.step() && layouts.column_int(0) == layouts.column_int(1);
  return whole && layouts.column_int(1) > 0 ? unsigned_of(layouts.column_int(1))
                                            : meta.schema_version;
}

std::optional<std::string> read_private(const Database& db, std::string_view key) {
  Statement read = db.prepare("SELECT value FROM csa_private WHERE key = ?1");
  read.bind(1, key);
  if (!read.step() || read.column_is_null(0)) return std::nullopt;
  return std::string(as_text(read.column_blob(0)));
}

void write_private(const Database& db, std::string_view key, std::string_view value) {
  Statement write = db.prepare("INSERT OR REPLACE INTO csa_private VALUES (?1, ?2)");
  // A blob: a UTF-16 database would change bytes that are no text.
  write.bind(1, key).bind_blob(2, as_bytes(value));
  write.run();
}

void clear_private(const Database& db) {
  db.exec("DELETE FROM csa_private; DELETE FROM csa_inbox_row");
}

void add_epoch(const Database& db, const EpochRecord& record) {
  Statement add = db.prepare(
      "INSERT INTO csa_epoch VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,"
      " csa_sum(?1, ?2, ?3, ?4, ?5, ?6, ?7))");
  add.bind(1, signed_of(record.epoch.generation))
      .bind_blob(2, record.epoch.id.bytes)
      .bind(3, signed_of(record.parent.epoch.generation))
      .bind_blob(4, record.parent.epoch.id.bytes)
      .bind(5, signed_of(record.parent.seq.value))
      .bind_blob(6, record.parent.chain.value.bytes)
      .bind(7, record.started.ms);
  add.run();
}

std::vector<EpochRecord> read_epochs(const Database& db) {
  std::vector<EpochRecord> epochs;
  Statement rows = db.prepare("SELECT * FROM csa_epoch ORDER BY generation");
  while (step_sound(rows, "csa_epoch", 7)) {
    const auto id = [&rows](int column) {
      return id_of(rows.column_value(column)).value_or(Id128{});
    };
    EpochRecord record;
    record.epoch = Epoch{unsigned_of(rows.column_int(0)), id(1)};
    record.parent.epoch = Epoch{unsigned_of(rows.column_int(2)), id(3)};
    record.parent.seq = Seq{unsigned_of(rows.column_int(4))};
    record.parent.chain = Chain{id(5)};
    record.started = WallTime{rows.column_int(6)};
    epochs.push_back(record);
  }
  return epochs;
}

std::optional<Epoch> proved_epoch(const Database& db) try {
  if (!has_sums(db)) return std::nullopt;
  const auto unproved = db.query_int("SELECT EXISTS (SELECT 1 FROM csa_epoch WHERE sum IS NULL)");
  const std::vector<EpochRecord> epochs = read_epochs(db);
  if (epochs.empty() || unproved == 1) return std::nullopt;
  return epochs.back().epoch;
} catch (const SqliteError&) {
  return std::nullopt;  // what cannot be read proves nothing
}

void write_layout(const Database& db, std::uint64_t schema_version, std::string_view json) {
  Statement write =
      db.prepare("INSERT OR REPLACE INTO csa_layout VALUES (?1, ?2, csa_sum(?1, ?2))");
  write.bind(1, signed_of(schema_version)).bind(2, json);
  write.run();
}

std::optional<std::string> read_layout_json(const Database& db, std::uint64_t version) {
  Statement read = db.prepare("SELECT * FROM csa_layout WHERE schema_version = ?1");
  read.bind(1, signed_of(version));
  if (!step_sound(read, "csa_layout", 2)) return std::nullopt;
  return read.column_text(1);
}

}  // namespace csa
