#include "common/digest.h"

#include <xxhash.h>

#include <algorithm>

#include "common/change_bytes.h"
#include "common/check.h"

namespace csa {
namespace {

// Of the cell that every row has; carried columns count from 1.
constexpr std::uint64_t kRowCell = 0;

void add_to(DigestSum& sum, const XXH128_hash_t& hash, std::uint64_t rows, bool add) {
  if (add) {
    sum.rows += rows;
    sum.low += hash.low64;
    sum.high += hash.high64;
  } else {
    sum.rows -= rows;
    sum.low -= hash.low64;
    sum.high -= hash.high64;
  }
}

Bytes encoded_key(const Row& key) {
  Bytes bytes;
  for (const Value& value : key) append_value(value, bytes);
  return bytes;
}

void follow_sequence(Digest& digest, const SequenceChange& change, bool forward) {
  TableDigest* const table = digest.find(kSequenceTable);
  if (table == nullptr) return;
  RowDigest row;
  row.begin(encoded_key({Text{change.table}}));
  const auto count = [&](const std::optional<Value>& value, bool add) {
    if (!value) return;
    row.row(*table, add);
    row.cell(*table, 0, *value, add);
  };
  count(change.before, !forward);
  count(change.after, forward);
}

void follow_values(TableDigest& table, const RowChange& change, RowDigest& row, bool forward) {
  for (std::uint32_t i = 0; i < change.old_values.size(); ++i) {
    // An update tells old values of its declared key also where they stay.
    const bool changed = change.op == RowOp::kDelete || change.new_values[i].has_value();
    if (changed && change.old_values[i]) row.cell(table, i, *change.old_values[i], !forward);
  }
  for (std::uint32_t i = 0; i < change.new_values.size(); ++i) {
    if (change.new_values[i]) row.cell(table, i, *change.new_values[i], forward);
  }
}

}  // namespace

TableDigest* Digest::find(std::string_view name) {
  const auto place = std::lower_bound(
      tables.begin(), tables.end(), name,
      [](const TableDigest& table, std::string_view wanted) { return table.name < wanted; });
  return place != tables.end() && place->name == name ? &*place : nullptr;
}

const TableDigest* Digest::find(std::string_view name) const {
  return const_cast<Digest*>(this)->find(name);
}

void RowDigest::begin(ByteView key) {
  bytes_.assign(key.begin(), key.end());
  key_ = key.size();
  bucket_ = XXH3_64bits(bytes_.data(), key_) % kDigestBuckets;
}

void RowDigest::take(TableDigest& table, bool add, std::uint64_t rows) {
  const XXH128_hash_t hash = XXH3_128bits(bytes_.data(), bytes_.size());
  bytes_.resize(key_);
  if (table.buckets.empty()) table.buckets.resize(kDigestBuckets);
  add_to(table.sum, hash, rows, add);
  add_to(table.buckets[bucket_], hash, rows, add);
}

void RowDigest::row(TableDigest& table, bool add) {
  append_varint(kRowCell, bytes_);
  take(table, add, 1);
}

void RowDigest::cell(TableDigest& table, std::uint32_t column, const Value& value, bool add) {
  append_varint(std::uint64_t{column} + 1, bytes_);
  append_value(value, bytes_);
  take(table, add, 0);
}

void RowDigest::encoded_cell(TableDigest& table, std::uint32_t column, ByteView value,
                             bool add) {
  append_varint(std::uint64_t{column} + 1, bytes_);
  bytes_.insert(bytes_.end(), value.begin(), value.end());
  take(table, add, 0);
}

void follow(Digest& digest, const Change& change, const std::vector<ChangeTable>& tables,
            bool forward, const IsScanned& scanned) {
  if (const auto* const sequence = std::get_if<SequenceChange>(&change)) {
    follow_sequence(digest, *sequence, forward);
    return;
  }
  const auto* const row_change = std::get_if<RowChange>(&change);
  CSA_CHECK(row_change != nullptr && row_change->table < tables.size());
  const std::string& name = tables[row_change->table].name;
  TableDigest* const table = digest.find(name);
  if (table == nullptr || !table->known) return;
  const bool before = !scanned || scanned(name, row_change->key);
  if (row_change->new_key) {
    // Every cell of the row is another one now, and only the changed ones are told.
    if (before || scanned(name, *row_change->new_key)) table->known = false;
    return;
  }
  if (!before) return;
  RowDigest row;
  row.begin(encoded_key(row_change->key));
  if (row_change->op == RowOp::kInsert) row.row(*table, forward);
  if (row_change->op == RowOp::kDelete) row.row(*table, !forward);
  follow_values(*table, *row_change, row, forward);
}

std::vector<std::uint32_t> differing_buckets(const TableDigest& a, const TableDigest& b) {
  const auto at = [](const TableDigest& table, std::size_t i) {
    return table.buckets.empty() ? DigestSum{} : table.buckets[i];
  };
  std::vector<std::uint32_t> differing;
  for (std::uint32_t i = 0; i < kDigestBuckets; ++i) {
    if (at(a, i) != at(b, i)) differing.push_back(i);
  }
  return differing;
}

}  // namespace csa
