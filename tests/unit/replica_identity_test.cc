// A replica's own NodeId and counter, which no checksum guards, as a disk keeps them wrongly.
#include <doctest/doctest.h>

#include "common/codec.h"
#include "common/journal.h"
#include "common/limits.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::replica_identity_test {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO t VALUES (1, 0)";

struct OneReplica {
  ScratchFolder folder;
  HandMaster master{folder.path(), kSchema};
  std::string path = folder.file("r.db");
  std::unique_ptr<Replica> replica = open_replica(path);

  OneReplica() { REQUIRE(take_copy(*replica, master.copy()).has_value()); }
  OfflineDone write(std::uint64_t counter, const std::string& sql, bool sent = false) {
    OfflineWrite write;
    write.write.tx = {replica->state().node, counter};
    write.write.sql = sql;
    if (sent) write.request_hash = request_hash(write.write);
    return replica->write_offline(write).value();
  }
  // As the next start finds it.
  void rot(const std::string& key, const std::string& value) {
    replica.reset();
    run_sql(path, "UPDATE csa_private SET value = '" + value + "' WHERE key = '" + key + "'");
    replica = open_replica(path);
  }
  [[nodiscard]] std::int64_t value() const {
    return Database(path, Database::Mode::kReadOnly).query_int("SELECT v FROM t").value();
  }
};

bool is_mismatch(const OfflineDone& done) {
  const auto* const nack = std::get_if<Nack>(&done.answer);
  return nack != nullptr && nack->code == NackCode::kMismatch;
}

constexpr const char* kAdd = "UPDATE t SET v = v + 1";

}  // namespace

TEST_CASE("replica identity: a counter kept too low gives no number of the journal again") {
  OneReplica one;
  REQUIRE(one.replica->reserve_counters() < 2011);
  std::uint64_t reserved = 0;
  while (reserved < 3000) reserved = one.replica->reserve_counters();
  for (std::uint64_t counter = 2011; counter <= 2040; ++counter) {
    REQUIRE(std::holds_alternative<Journaled>(one.write(counter, kAdd).answer));
  }
  one.rot("counter", "1000");
  CHECK(one.replica->state().counter == 2040);
  CHECK(one.replica->reserve_counters() == 2040 + limits::kCounterBlock);
  CHECK(std::holds_alternative<Journaled>(one.write(2041, kAdd).answer));
  CHECK(one.value() == 31);
  SUBCASE("nor of an outcome that is kept after the journal") {
    CHECK(std::holds_alternative<Journaled>(one.write(2042, "UPDATE t SET v = v").answer));
    one.rot("counter", "1000");
    CHECK(one.replica->state().counter == 2042);
  }
}

TEST_CASE("replica identity: an entry is no answer to a write that was never sent") {
  OneReplica one;
  CHECK(std::holds_alternative<Journaled>(one.write(1, kAdd).answer));
  CHECK(std::holds_alternative<Journaled>(one.write(2, "UPDATE t SET v = v").answer));
  CHECK(is_mismatch(one.write(1, kAdd)));
  CHECK(is_mismatch(one.write(2, kAdd)));
  CHECK(one.value() == 1);
  // Of one that was sent it is: whoever took it over asks.
  CHECK(std::holds_alternative<Journaled>(one.write(1, kAdd, true).answer));
  CHECK(one.value() == 1);
}

TEST_CASE("replica identity: a NodeId kept wrongly is put right by the journal's entries") {
  OneReplica one;
  const NodeId node = one.replica->state().node;
  CHECK(std::holds_alternative<Journaled>(one.write(1, kAdd).answer));
  std::string turned = to_string(node);
  turned[5] = turned[5] == '1' ? '0' : '1';
  one.rot("node", turned);
  CHECK(one.replica->state().node == node);
  one.replica.reset();
  CHECK(Database(one.path, Database::Mode::kReadOnly)
            .query_text("SELECT value FROM csa_private WHERE key = 'node'") == to_string(node));
}

TEST_CASE("replica identity: an entry whose checksum does not fit renames nobody") {
  OneReplica one;
  const NodeId node = one.replica->state().node;
  CHECK(std::holds_alternative<Journaled>(one.write(1, kAdd).answer));
  one.replica.reset();
  {
    // The header holds the NodeId as bytes.
    const Database db(one.path, Database::Mode::kReadWrite);
    Statement row = db.prepare("SELECT header FROM csa_journal");
    REQUIRE(row.step());
    Bytes header = row.column_blob(0);
    row.reset();
    const auto at =
        std::search(header.begin(), header.end(), node.value.bytes.begin(), node.value.bytes.end());
    REQUIRE(at != header.end());
    *at ^= 1;
    Statement change = db.prepare("UPDATE csa_journal SET header = ?1");
    change.bind_blob(1, header);
    change.run();
  }
  one.replica = open_replica(one.path);
  CHECK(one.replica->state().node == node);
}

}  // namespace csa::replica_identity_test
