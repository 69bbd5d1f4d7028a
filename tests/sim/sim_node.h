// A node of a simulated cluster: the real Session and Replica; sockets, threads and time are
// simulated. A crash drops the objects where they stand.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "node/replica.h"
#include "node/session.h"
#include "tests/sim/sim_broker.h"
#include "tests/sim/world.h"

namespace csa::sim {

class SimNode {
 public:
  SimNode(World& world, SimBroker& broker, int party, std::string replica);
  ~SimNode();

  void start();
  void crash();
  void leave();
  [[nodiscard]] bool running() const { return session_ != nullptr; }
  [[nodiscard]] int party() const { return party_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] Session::View view() const { return session_->view(); }
  [[nodiscard]] std::string name() const { return std::to_string(party_); }

  // `done` may never come: the node crashed.
  void write(Write write, milliseconds timeout, std::function<void(const WriteDone&)> done);

  // After each change of the replica, with the replica's own words on where it stands.
  std::function<void(SimNode&, const ReplicaState&)> on_replica;

 private:
  // With the node's clocks as they are now.
  [[nodiscard]] Session& session();
  void pump();
  void act(const UplinkAction& action);
  void run_job(StoreJob job);
  void deliver(const SessionEvent& event);
  void schedule_deadline();
  void close_links();
  // The receiving end of a connection: drops what comes after the connection's end.
  [[nodiscard]] std::function<void(Message)> receiver();

  World& world_;
  SimBroker& broker_;
  const int party_;
  const std::string path_;
  Log log_;
  std::uint64_t life_ = 0;        // starts of this node
  std::uint64_t connection_ = 0;  // number of the present link
  std::uint64_t store_turn_ = 0;
  PeerKey dealer_;
  PeerKey sub_;
  std::unique_ptr<Replica> replica_;
  std::unique_ptr<Session> session_;
  std::map<std::uint64_t, std::function<void(const WriteDone&)>> calls_;
  std::uint64_t next_call_ = 1;
  TimePoint deadline_scheduled_{};
};

}  // namespace csa::sim
