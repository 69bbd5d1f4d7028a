// csa-admin in a simulated cluster, its migrations and its `verify`: greets, asks, asks again until
// there is an answer, a migration under the same TxId.
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
  // All nodes compare themselves with the master; what is told of them.
  void verify(std::function<void(const AdminReply&)> told);

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
  Message request_ = Admin{};
  std::function<void(const std::string&)> answered_;
  std::function<void(const AdminReply&)> told_;
};

}  // namespace csa::sim
