// Broker's time over a restore, on computers whose wall clock tells something else.
#include <doctest/doctest.h>

#include <string>

#include "common/clock_anchor.h"
#include "tests/support/lost_master.h"

namespace csa::restore_time_test {

using test::LostMaster;

TEST_CASE("merge after a restore: the wall clock was set back before, unsure is flagged") {
  LostMaster m;
  m.write("UPDATE part SET a = 'theirs' WHERE id = 1", 10);
  (void)m.b.edit(m.away, "UPDATE part SET a = 'mine' WHERE id = 1", 20);
  m.slow_ms = 900'000;
  (void)m.restore_from(m.backup("DELETE FROM csa_log"));
  CHECK(m.return_at(5000).at(0).result == ReplayResult::kSuperseded);
  CHECK(m.row(1) == "theirsb10");
  CHECK(m.inbox() == R"({"id":1}broker1)");
}

TEST_CASE("restore: nothing of the log is kept, broker's time goes on behind its last commit") {
  LostMaster m;
  m.write("UPDATE part SET a = 'late' WHERE id = 1", 300'000);
  // By a replica that measured it long before, on another computer.
  const ClockAnchor measured{
      {WallTime{1'000'000}, 9, 5}, WallTime{1'000'000}, 5, {4, 0, WallTime{1'000'000}}};
  m.slow_ms = 900'000;
  (void)m.restore_from(m.backup("CREATE TABLE other (x); UPDATE csa_private SET value = '" +
                                to_text(measured) + "' WHERE key = 'clock'"));
  CHECK(m.b.master.count("SELECT count(*) FROM csa_log") == 0);
  CHECK(m.b.master.ledger->time().at(m.local()) >= WallTime{1'300'000});
}

TEST_CASE("inbox: when a row was edited at the latest is told by the broker's wall clock too") {
  LostMaster m;
  m.slow_ms = 900'000;
  (void)m.b.edit(m.away, "UPDATE part SET a = 'mine' WHERE id = 1", 10);
  m.clock.ms += 20;
  Database(m.b.master.path, Database::Mode::kReadWrite)
      .exec("UPDATE part SET a = 'outside' WHERE id = 1");
  (void)m.b.hand_over(m.away);
  REQUIRE(m.inbox() == R"({"id":1}broker1)");
  const std::string reason = m.b.text("SELECT reason FROM csa_conflicts");
  CAPTURE(reason);
  CHECK(reason.find(to_string(m.wall()) + " at the latest") != std::string::npos);
}

}  // namespace csa::restore_time_test
