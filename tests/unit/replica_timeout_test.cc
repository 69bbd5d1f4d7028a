// How long a write without a broker may take.
#include <doctest/doctest.h>

#include <chrono>

#include "common/system_clock.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"

namespace csa::replica_timeout_test {

TEST_CASE("offline: a statement that takes longer than it may is ended and undone") {
  const ScratchFolder folder;
  HandMaster master(folder.path(), "CREATE TABLE note (text, n INTEGER)");
  const auto replica = open_replica(folder.file("r.db"));
  REQUIRE(take_copy(*replica, master.copy()).has_value());
  OfflineWrite write;
  write.write.tx = {replica->state().node, 1};
  // By itself it would end after minutes.
  write.write.sql =
      "INSERT INTO note WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c"
      " WHERE n < 2000000000) SELECT 'x', max(n) FROM c";
  write.may_take = std::chrono::milliseconds{100};
  const TimePoint begun = monotonic_now();
  const OfflineDone done = replica->write_offline(write).value();
  CHECK(monotonic_now() - begun < std::chrono::seconds{20});  // 30 s it may take otherwise
  REQUIRE(std::holds_alternative<Nack>(done.answer));
  CHECK(std::get<Nack>(done.answer).code == NackCode::kTimeout);
  CHECK(std::get<Nack>(done.answer).message.find("--timeout") != std::string::npos);
  CHECK(done.state.journal.entries == 0);
  // One that was sent may have run at the broker all the same.
  write.request_hash.bytes[0] = 1;
  CHECK(!replica->write_offline(write).has_value());
}

}  // namespace csa::replica_timeout_test
