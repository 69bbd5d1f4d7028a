#include "broker/inbox_reader.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "common/change_bytes.h"

namespace csa {
namespace {

constexpr const char* kColumns =
    "SELECT first, last, seq, time, node, counter, journal, hostname, node_time, bundle, hashes,"
    " decided, rows, exact FROM main.csa_inbox";

constexpr std::size_t kHash = 16;
// Rows of an earlier loss often come in another order: so many bytes of texts stay taken apart.
constexpr std::size_t kKnownMax = std::size_t{2} << 20U;

// Of each row; nothing: damaged.
std::optional<std::vector<Bytes>> exact_of(const Bytes& stored, std::size_t rows) {
  std::vector<Bytes> exact(rows);
  ByteReader reader(stored);
  while (!reader.at_end()) {
    const std::uint64_t place = reader.varint();
    const std::uint64_t size = reader.varint();
    if (!reader.ok() || place >= rows) return std::nullopt;
    const ByteView bytes = reader.bytes(size);
    if (!reader.ok()) return std::nullopt;
    exact[place].assign(bytes.begin(), bytes.end());
  }
  return exact;
}

}  // namespace

bool KeptConflict::is_whole() const {
  return decided.decision == "parked" || decided.rule == kAtomicRule;
}

std::optional<KeptConflict::Versions> KeptConflict::versions() const {
  std::optional<RowSet> set = read_versions(stored);
  if (!set) return std::nullopt;
  for (const Row& row : set->rows) {
    if (!row.empty() && row.size() != set->columns.size()) return std::nullopt;
  }
  return Versions{std::move(set->columns), std::move(set->rows[0]), std::move(set->rows[1]),
                  std::move(set->rows[2])};
}

std::optional<std::int64_t> KeptConflict::number() const {
  const auto json = nlohmann::json::parse(key, nullptr, false);
  if (!json.is_object() || json.size() != 1 || !json.begin()->is_number_integer()) return {};
  return json.begin()->get<std::int64_t>();
}

InboxReader::InboxReader(const Database& db)
    : of_id_(db, std::string(kColumns) + " WHERE first <= ?1 ORDER BY first DESC LIMIT 1"),
      from_(db, std::string(kColumns) +
                    " WHERE first >= ifnull((SELECT max(first) FROM main.csa_inbox WHERE first <="
                    " ?1), ?1) ORDER BY first"),
      of_journal_(db, std::string(kColumns) + " WHERE node = ?1 AND journal = ?2 ORDER BY first"),
      later_(db,
             "SELECT state, seq, time, counter, node_time, decided, row, exact FROM"
             " main.csa_inbox_later WHERE id = ?1") {}

std::int64_t InboxReader::Stored::count() const {
  return static_cast<std::int64_t>(std::max(hashes.size() / kHash, std::size_t{1}));
}

InboxReader::Stored InboxReader::read(const Statement& row) {
  Stored stored;
  stored.first = row.column_int(0);
  KeptConflict& shared = stored.shared;
  shared.seq = Seq{unsigned_of(row.column_int(2))};
  shared.time = row.column_text(3);
  const Bytes node = row.column_blob(4);
  std::copy_n(node.begin(), std::min(node.size(), shared.tx.node.value.bytes.size()),
              shared.tx.node.value.bytes.begin());
  shared.tx.counter = unsigned_of(row.column_int(5));
  shared.journal = unsigned_of(row.column_int(6));
  shared.hostname = row.column_text(7);
  shared.node_time = row.column_text(8);
  shared.bundle = unsigned_of(row.column_int(9));
  shared.state = "open";
  stored.hashes = row.column_blob(10);
  if (!read_rows(row, stored)) stored.rows.clear();
  return stored;
}

bool InboxReader::read_rows(const Statement& row, Stored& stored) {
  const std::string texts = row.column_text(12);
  std::optional<std::vector<InboxRow>> rows = read_inbox_rows(row.column_text(11), texts);
  if (!rows || rows->empty() || row.column_int(1) < stored.first) return false;
  if (unsigned_of(row.column_int(1)) - unsigned_of(stored.first) != rows->size() - 1) return false;
  if (stored.hashes.size() != rows->size() * kHash) return false;
  std::optional<std::vector<Bytes>> exact = exact_of(row.column_blob(13), rows->size());
  if (!exact) return false;
  stored.size = texts.size();
  stored.rows = std::move(*rows);
  stored.exact = std::move(*exact);
  return true;
}

std::optional<KeptConflict> InboxReader::conflict_of(const Stored& stored, std::int64_t id) {
  const auto place = static_cast<std::size_t>(id - stored.first);
  KeptConflict found = stored.shared;
  found.id = id;
  const auto hash = stored.hashes.begin() + static_cast<std::ptrdiff_t>(place * kHash);
  found.hash.assign(hash, hash + kHash);
  found.decided = stored.rows[place].decision;
  found.key = stored.rows[place].texts.key;
  found.stored = {stored.exact[place], stored.rows[place].texts.versions};
  later_.bind(1, id);
  if (later_.step()) {
    found.state = later_.column_text(0);
    if (!later_.column_is_null(5)) {
      found.seq = Seq{unsigned_of(later_.column_int(1))};
      found.time = later_.column_text(2);
      found.tx.counter = unsigned_of(later_.column_int(3));
      found.node_time = later_.column_text(4);
      std::optional<InboxDecision> decided = read_decision(later_.column_text(5));
      std::optional<InboxTexts> texts = read_row(later_.column_text(6));
      found.stored.rows = later_.column_blob(7);
      later_.reset();
      if (!decided || !texts) return std::nullopt;
      found.decided = std::move(*decided);
      found.key = std::move(texts->key);
      found.stored.texts = std::move(texts->versions);
    }
  }
  later_.reset();
  return found;
}

KeptConflict InboxReader::damaged_of(const Stored& stored, std::int64_t id) {
  KeptConflict damaged = stored.shared;
  damaged.id = id;
  later_.bind(1, id);
  if (later_.step()) damaged.state = later_.column_text(0);
  later_.reset();
  return damaged;
}

const InboxReader::Stored* InboxReader::stored_with(std::int64_t id) {
  const auto holds = [id](const Stored& stored) {
    return id >= stored.first && id - stored.first < static_cast<std::int64_t>(stored.rows.size());
  };
  const auto known = std::ranges::find_if(known_, holds);
  if (known != known_.end()) return &*known;
  of_id_.bind(1, id);
  std::optional<Stored> stored;
  if (of_id_.step()) stored = read(of_id_);
  of_id_.reset();
  if (!stored || !holds(*stored)) return nullptr;
  std::size_t size = stored->size;
  for (const Stored& one : known_) size += one.size;
  while (size > kKnownMax && !known_.empty()) {
    size -= known_.front().size;
    known_.pop_front();
  }
  return &known_.emplace_back(std::move(*stored));
}

std::optional<KeptConflict> InboxReader::find(std::int64_t id) {
  const Stored* const stored = stored_with(id);
  return stored == nullptr ? std::nullopt : conflict_of(*stored, id);
}

void InboxReader::each(Statement& rows, std::int64_t from, const Visit& visit,
                       const Visit& damaged) {
  bool more = true;
  while (more && rows.step()) {
    const Stored stored = read(rows);
    for (std::int64_t id = std::max(stored.first, from); more && id - stored.first < stored.count();
         ++id) {
      std::optional<KeptConflict> conflict;
      if (!stored.rows.empty()) conflict = conflict_of(stored, id);
      if (conflict) {
        more = visit(*conflict);
      } else {
        KeptConflict unread = damaged_of(stored, id);
        more = damaged(unread);
      }
    }
  }
  rows.reset();
}

void InboxReader::each_from(std::int64_t id, const Visit& visit, const Visit& damaged) {
  from_.bind(1, id);
  each(from_, id, visit, damaged);
}

void InboxReader::each_of(const NodeId& node, std::uint64_t journal, const Visit& visit,
                          const Visit& damaged) {
  of_journal_.bind_blob(1, node.value.bytes).bind(2, signed_of(journal));
  each(of_journal_, INT64_MIN, visit, damaged);
}

}  // namespace csa
