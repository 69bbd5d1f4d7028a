// The broker of a simulated cluster: the real Hub, Ledger and Archive; only sockets, threads and
// time are simulated. A crash drops the objects where they stand: what was committed is on disk.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>

#include "broker/archive.h"
#include "broker/hub.h"
#include "broker/ledger.h"
#include "broker/verifier.h"
#include "tests/sim/world.h"

namespace csa::sim {

inline constexpr int kBrokerParty = 0;

// The frame as it arrives between the broker and `party`: by chance with a wrong bit, which a
// checksum must find.
[[nodiscard]] Bytes as_it_arrives(World& world, int party, Bytes frame);

class SimBroker {
 public:
  // A connection's far end: frames for its DEALER, frames with topics for its SUB.
  struct Connection {
    int party = 0;
    std::function<void(Message)> deliver;
    bool open = true;
  };

  SimBroker(World& world, std::string database, std::string spool);
  ~SimBroker();

  void start();
  void crash();
  [[nodiscard]] bool running() const { return hub_ != nullptr; }
  [[nodiscard]] std::uint64_t boot() const { return boot_number_; }
  [[nodiscard]] Id128 boot_id() const { return boot_id_; }
  [[nodiscard]] const Hub& hub() const { return *hub_; }
  [[nodiscard]] Ledger& ledger() { return *ledger_; }
  [[nodiscard]] Clocks& clocks() { return clocks_; }

  // The network's side. Keys are unique for ever, as ROUTER's are.
  void connect(const PeerKey& key, int party, std::function<void(Message)> deliver);
  void subscribe(const PeerKey& key, int party, const std::vector<std::string>& topics,
                 std::function<void(Message)> deliver);
  void disconnect(const PeerKey& key);
  void receive(const PeerKey& key, const Bytes& frame);

  // Called after each commit, before anybody hears of it; and after a start, with what the commit
  // has left that it died in.
  std::function<void(const CommitResult&)> on_commit;
  // By each start, before.
  std::function<void(const Position& at, const std::vector<TxId>& settled)> on_found;
  std::function<void()> on_disturbed;  // it starts or crashes
  double crash_probability = 0;        // at each labelled point
  bool slow_disk = false;
  std::uint64_t log_keep = 0;

 private:
  struct Subscription {
    int party = 0;
    std::set<std::string> topics;
    std::function<void(Message)> deliver;
  };
  void pump();
  [[nodiscard]] std::size_t send(std::span<const HubAction> actions);
  void act(HubAction action);
  [[nodiscard]] bool compare(const HubAction& action);  // false: it is none of verification
  void run_commit(const CommitJob& job);
  void schedule_deadline();
  // `label`: of the point at which it may crash instead.
  void later(const char* label, std::function<void()> work);
  // True: the broker crashed here.
  bool crash_point(const char* label);
  // Runs what uses its disk. False: it died of that, or ended as Stores' `fatal` ends it, and its
  // supervisor starts it again after a while.
  bool on_disk(const std::function<void()>& work);
  void drop();
  void restart_later();
  void open_stores();
  void tell_found(const Position& position);

  World& world_;
  Clocks clocks_;
  const std::string database_;
  const std::string spool_;
  Log log_;
  std::uint64_t boot_number_ = 0;
  Id128 boot_id_;
  Position told_;  // of the last commit that on_commit was told
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Archive> archive_;
  std::unique_ptr<Verifier> verifier_;
  std::unique_ptr<Hub> hub_;
  std::map<PeerKey, Connection> connections_;
  std::map<PeerKey, Subscription> subscriptions_;
  TimePoint deadline_scheduled_{};
};

}  // namespace csa::sim
