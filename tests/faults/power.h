// Power cuts of the computers of a place: broker, node and small programs are taken for one
// computer each, whose programs are recorded (power_recorder.cc). After their end the cut forgets
// what was not synced, as tests/support/power_replay.h chooses. What the test's own process writes
// is no part of it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/faults/kill_table.h"
#include "tests/support/power_replay.h"
#include "tests/support/scratch_folder.h"
#include "tests/system/place.h"

namespace csa::fault_test {

class PowerLog;

class Power {
 public:
  enum class Computer : std::uint8_t { kBroker, kNode, kOther };
  // What `place` launches from now on, on these computers, is recorded. REQUIRES: outlives it; each
  // computer's log holds kPowerLogSize between two cuts.
  Power(system_test::Place& place, const std::vector<Computer>& computers);
  ~Power();
  Power(const Power&) = delete;
  Power& operator=(const Power&) = delete;

  // False: nothing was recorded since the last cut.
  [[nodiscard]] bool recorded(Computer computer) const;
  // REQUIRES: recorded, and no program of that computer is alive.
  test::Forgotten cut(Computer computer, std::uint64_t seed);
  // Another program's launch, on that computer. REQUIRES: it is recorded.
  [[nodiscard]] system_test::Launch on(Computer computer, system_test::Launch launch) const;

 private:
  const std::string folder_;
  ScratchFolder logs_;
  std::map<Computer, std::unique_ptr<PowerLog>> computers_;
};

// What comes after the kills of a test: a power cut or none, and a look at what is left.
class Outage {
 public:
  // Without a seed: no power cut. Each cut takes the next seed.
  Outage(system_test::Place& place, std::optional<std::uint64_t> seed,
         const std::vector<Power::Computer>& computers);
  // No cut of the power where that computer's programs have changed nothing. Then checks that
  // `database`, if it is there, is whole as SQLite opens it, before csa has healed anything.
  void cut(Power::Computer computer, Killed& row, const std::string& database);
  [[nodiscard]] system_test::Launch on(Power::Computer computer, system_test::Launch launch) const;

 private:
  std::optional<Power> power_;
  std::uint64_t seed_ = 0;
};

}  // namespace csa::fault_test
