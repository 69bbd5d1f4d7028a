// csa-admin's migrations in a simulated cluster: greets, asks, asks again under the same TxId until
// there is an answer.
#pragma once

#include <functional>
#include <string>

#include "tests/sim/sim_broker.h"
#include "tests/sim/world.h"

namespace csa::sim {

class SimAdmin {
 public:
  // Its link can be cut like a node's. Both must outlive this.
  SimAdmin(World& world, SimBroker& broker, int party);
  // `answered` hears what was answered: empty where the schema was changed, else why not. One at a
  // time; ignored while the last is under way.
  void migrate(const std::string& sql, std::function<void(const std::string&)> answered);

 private:
  void greet();
  void hear(const Message& message);
  void send(const Message& message);

  World& world_;
  SimBroker& broker_;
  const int party_;
  std::uint64_t connection_ = 0;
  std::uint64_t next_ = 1;
  Id128 identity_;
  bool busy_ = false;
  Migrate request_;
  std::function<void(const std::string&)> answered_;
};

}  // namespace csa::sim
