// The owner of a replica at work: a link thread (sockets, clock, Session, the door for guests; it
// always drains and never touches SQLite) a store thread (the Replica),
// and a check thread, which compares it with the master. What callers post is
// run on the link thread in order.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/dialer.h"
#include "common/host.h"
#include "common/log.h"
#include "common/mailbox.h"
#include "node/backend.h"
#include "node/door_server.h"
#include "node/replica.h"
#include "node/session.h"
#include "node/status_waits.h"

namespace csa {

struct LinkConfig {
  SessionConfig session;
  DialerConfig dialer;
  std::string app;
  std::string group;
  std::string hostname;
  std::string replica_path;
  std::string door;                      // where guests come in; empty: nowhere
  std::uint64_t verify_bytes_per_s = 0;  // how fast it may read to compare itself; 0: no bound
  std::function<void(const ClientEvent&)> on_event;
};

class Link final : public Backend {
 public:
  // Starts both threads. REQUIRES: the caller holds the replica's OwnerLock until leave() is done.
  Link(LinkConfig config, std::unique_ptr<Replica> replica, const Log& log);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  ~Link() override;

  void submit(Request request, std::chrono::milliseconds timeout, Done done) override;
  [[nodiscard]] ClientStatus status() override;
  [[nodiscard]] bool wait(Condition reached, Condition given_up,
                          std::chrono::milliseconds timeout) override;
  void leave() override;

 private:
  using Task = std::function<void()>;
  struct Call {
    Done done;
    std::function<void(const TxId&)> on_tx;  // may be empty
  };
  void run_link();
  void turn();
  void run_tasks();
  void run_store();
  void run_checks();
  void store_job(StoreJob job);
  void carry_out();
  void deliver(const SessionEvent& event);
  void start_write(Request request, TimePoint deadline, Call call);
  void serve_door(TimePoint now);
  void check_waiting(TimePoint now);
  void finish();
  [[nodiscard]] ClientStatus present_status() const;

  const LinkConfig config_;
  const Log& log_;                    // must outlive this
  std::unique_ptr<Replica> replica_;  // the store thread's
  Mailbox<Task> tasks_;               // to the link thread
  Mailbox<StoreJob> jobs_;            // to the store thread
  Mailbox<CheckJob> checks_;          // to the check thread
  // The link thread's own:
  Session session_;
  std::unique_ptr<Dialer> dialer_;
  std::unique_ptr<DoorServer> door_;
  std::map<std::uint64_t, Call> calls_;
  std::uint64_t next_call_ = 1;
  StatusWaits waits_;
  std::string why_;
  const std::uint64_t boot_ = boot_hash();
  bool leaving_ = false;
  bool ending_ = false;  // the session has stopped; what it says now is no outcome for guests
  bool stopped_ = false;
  std::thread link_thread_;
  std::thread store_thread_;
  std::thread check_thread_;
};

}  // namespace csa
