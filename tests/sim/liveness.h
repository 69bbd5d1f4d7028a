// That a cluster does not merely recover but has no need to: every new link and every full copy has
// a cause that the simulation knows, and in a calm network every commit reaches every node within
// the times that schemas/protocol.md gives. Throws Violation.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "common/types.h"
#include "tests/sim/sim_broker.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/world.h"

namespace csa::sim {

class Liveness {
 public:
  // Both must outlive this.
  Liveness(World& world, SimBroker& broker) : world_(world), broker_(broker) {}

  // At all times. A node opens a link: it crashed, slept, lost messages, or its broker was away,
  // not long ago. It asks for a full copy: it has none, or the log begins behind it.
  void opens(const SimNode& node) const;
  void asks_copy(const SimNode& node) const;
  // The broker starts or crashes: what excuses everybody.
  void broker_disturbed(const std::vector<std::unique_ptr<SimNode>>& nodes);

  // From now on (or no more): no link may be opened, no copy be asked for, and commits must arrive.
  // UPDATEs alone may get lost.
  void set_calm(bool calm);
  void committed(Seq seq, const std::vector<std::unique_ptr<SimNode>>& nodes);
  void hears(const SimNode& node, const Message& message);
  void reaches(const SimNode& node, Seq seq);
  // Of this one nothing is expected, until the next set_calm().
  void excuse(const SimNode& node);
  // Whatever is due by now has happened.
  void check() const;

 private:
  [[nodiscard]] bool is_calm(const SimNode& node) const;
  void expect(int party, Seq seq, Duration within);

  World& world_;
  SimBroker& broker_;
  bool calm_ = false;
  std::set<int> excused_;
  std::map<int, Seq> reached_;
  std::map<int, std::map<Seq, TimePoint>> due_;  // by party: until when it must be where
};

}  // namespace csa::sim
