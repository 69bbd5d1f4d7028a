// Computers and LANs made of network namespaces: every LAN is a bridge in a namespace of its own,
// so that nothing is made in the computer's real network, and taking the namespaces away takes
// everything away. Names hold the test's pid; what a killed test left is swept by the next one.
// REQUIRES root.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/system/program.h"

namespace csa::system_test {

class Lans {
 public:
  Lans();
  ~Lans();
  Lans(const Lans&) = delete;
  Lans& operator=(const Lans&) = delete;

  // A computer with loopback alone.
  void add_computer(const std::string& name);
  void add_lan(const std::string& lan);
  // A network card of `computer` in `lan`, with an address like "10.1.0.2/24".
  void plug(const std::string& computer, const std::string& lan, const std::string& address);
  // Another address for that card.
  void readdress(const std::string& computer, const std::string& lan, const std::string& address);
  // The same launch, run on that computer, with the defaults of a user who sets nothing: csa's
  // variables of group, beacon port and interface are taken away.
  [[nodiscard]] Launch on(const std::string& computer, Launch launch) const;

 private:
  [[nodiscard]] std::string full(const std::string& name) const { return prefix_ + name; }
  void add(const std::string& name);

  std::string prefix_;
  std::vector<std::string> names_;
  int cards_ = 0;
};

}  // namespace csa::system_test
