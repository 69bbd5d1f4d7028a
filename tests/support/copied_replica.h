// A ledger, and the entries of a replica that was copied while its journal waited: both files go
// on, one under a new identity.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "common/change_bytes.h"
#include "common/codec.h"
#include "tests/support/ledger_bench.h"

namespace csa::test {

inline constexpr const char* kCopiedSchema = R"(
  CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT);
  CREATE TABLE bin (id INTEGER PRIMARY KEY, part INTEGER REFERENCES part);
  INSERT INTO part VALUES (1, 'bolt');
)";

struct Copied : LedgerBench {
  Copied() : LedgerBench(kCopiedSchema) {}
  NodeId first{random_id()};
  NodeId second{random_id()};
  std::uint64_t ticket = 1'000'000;

  // A row that SQLite numbered, in a table of an integer key and one more column.
  Replay insert(std::uint64_t at, const std::string& name, std::int64_t id, Value value) const {
    ChangeTable table;
    table.name = name;
    table.column_names = {"id", name == "part" ? "name" : "part"};
    table.column_count = 2;
    table.key_columns = {0};
    RowChange row;
    row.assigned = true;
    row.key = {id};
    row.new_values = {std::nullopt, std::move(value)};
    Replay replay;
    ChangeEncoder encoder;
    row.table = encoder.table(table, replay.bytes);
    encoder.append(row, replay.bytes);
    replay.header.tx = {first, at};
    replay.header.edited = WallTime{1000};
    replay.header.base = ledger->meta().position;
    replay.header.size = replay.bytes.size();
    replay.first = 1;
    replay.previous = at - 1;
    seal(replay);
    return replay;
  }
  static void seal(Replay& replay) {
    JournalHasher hasher(replay.header);
    hasher.update(replay.bytes);
    replay.checksum = hasher.digest();
  }
  // As csa-node identity --new leaves it.
  Replay renamed(Replay replay) const {
    replay.header.origin = replay.header.tx;
    replay.header.request_hash = replay.checksum;
    replay.header.tx.node = second;
    seal(replay);
    return replay;
  }
  // Sent by the first one while it was online.
  Ack write_as(std::uint64_t at) {
    Write write;
    write.tx = {first, at};
    write.sql = "INSERT INTO part (name) VALUES ('of before')";
    return ack({write, "till", ++ticket});
  }
  void put_back(const std::string& file) {
    ledger.reset();
    for (const char* const end : {"", "-wal", "-shm"}) std::filesystem::remove(path + end);
    std::filesystem::copy_file(file, path);
  }
  Replayed give(const Replay& replay) {
    Replayed answer = std::get<Replayed>(run({replay, "till", ++ticket}));
    CHECK(answer.tx == replay.header.tx);
    return answer;
  }
};

}  // namespace csa::test
