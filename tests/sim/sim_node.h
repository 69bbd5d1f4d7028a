// A node of a simulated cluster: the real Session and Replica; sockets, threads and time are
// simulated. A crash drops the objects where they stand.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "node/replica.h"
#include "node/self_check.h"
#include "node/session.h"
#include "node/store_jobs.h"
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
  // What a person does with a replica that is refused. REQUIRES: it does not run.
  void move_away();
  [[nodiscard]] Clocks& clocks() { return clocks_; }
  // Its computer sleeps: nothing happens on it, and what arrives waits.
  void sleep(milliseconds time);
  [[nodiscard]] bool asleep() const { return asleep_; }
  [[nodiscard]] bool running() const { return session_ != nullptr; }
  [[nodiscard]] int party() const { return party_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] Session::View view() const { return session_->view(); }
  [[nodiscard]] Seq asked_after() const { return asked_after_; }
  [[nodiscard]] std::string name() const { return std::to_string(party_); }

  // `done` may never come: the node crashed.
  void write(Write write, milliseconds timeout, std::function<void(const WriteDone&)> done);

  // Writes that had no answer yet.
  [[nodiscard]] std::size_t unanswered() const { return calls_.size(); }

  // After each change of the replica, with the replica's own words on where it stands.
  std::function<void(SimNode&, const ReplicaState&)> on_replica;
  // Before the session hears a message that was sent to its present link.
  std::function<void(SimNode&, const Message&)> on_heard;
  std::function<void(SimNode&)> on_open;      // it opens a link, or closes one to open another
  std::function<void(SimNode&)> on_ask_copy;  // it asks for a new full copy
  std::function<void(SimNode&)> on_end;       // before its objects go
  std::function<void(SimNode&)> on_crash;     // at a labelled point
  std::function<void(SimNode&, const Checked&)> on_checked;  // it has compared itself
  // A full copy was whole by all that the node knew, and its hash says no.
  std::function<void(SimNode&, const std::string&)> on_wrong_copy;
  double crash_probability = 0;  // at each of them
  double crash_in_copy = 0;      // behind each chunk
  Duration verify_every{};       // 0: only when it is asked

 private:
  // With the node's clocks as they are now.
  [[nodiscard]] Session& session();
  void pump();
  void carry_out(const std::vector<UplinkAction>& actions);
  void send_frames(std::span<const Message* const> messages);
  void act(const UplinkAction& action);
  void run_job(StoreJob job);
  void carry_out(StoreJob& job);
  void run_check(CheckJob job);
  [[nodiscard]] bool open_replica();
  // Runs what uses its disk. False: its computer died of that.
  bool on_disk(const std::function<void()>& work);
  [[nodiscard]] StoreAnswer store_failed(const std::exception& error);
  // True: the node crashed here; `too`: likelier than elsewhere.
  bool crash_point(const char* label, double too);
  void deliver(const SessionEvent& event);
  void schedule_deadline();
  void close_links();
  // Something reaches this computer: happens now, or when it awakes.
  void arrive(std::function<void()> what);
  void wake();
  // The receiving end of a connection: drops what comes after the connection's end.
  [[nodiscard]] std::function<void(Message)> receiver();

  World& world_;
  SimBroker& broker_;
  const int party_;
  bool asleep_ = false;
  Clocks clocks_;
  std::vector<std::function<void()>> inbox_;  // of a sleeper
  const std::string path_;
  Log log_;
  std::string wrong_copy_;
  bool rotten_copy_ = false;      // and nothing has come of it yet
  std::uint64_t life_ = 0;        // starts of this node
  std::uint64_t connection_ = 0;  // number of the present link
  Seq asked_after_;               // by the last LOG_GET
  std::uint64_t welcomed_ = 0;    // the link that had its WELCOME
  PeerKey dealer_;
  PeerKey sub_;
  std::unique_ptr<Replica> replica_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<SelfCheck> check_;
  std::map<std::uint64_t, std::function<void(const WriteDone&)>> calls_;
  std::uint64_t next_call_ = 1;
  TimePoint deadline_scheduled_{};
};

}  // namespace csa::sim
