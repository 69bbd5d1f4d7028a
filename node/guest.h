// A client whose replica another program owned when it came: it works through that program's door,
// and when the program ends it becomes the owner itself or goes through the next one's door. The
// same calls as an owner's own, one hop further. A thread of its own, which drains always; as an
// owner it hands the calls on to the link.
//
// No write is lost or doubled by a change of owner: the guest knows a write's TxId before the write
// is sent (DoorTx), so that what was not sent is sent by the next owner, and what may have been
// sent is sent again under its TxId, which gives the first outcome.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/log.h"
#include "common/mailbox.h"
#include "common/types.h"
#include "node/backend.h"
#include "node/joining.h"
#include "node/status_waits.h"

namespace csa {

class Guest final : public Backend {
 public:
  // Starts the thread. `log` must outlive this. on_event of the joining's options is called from
  // the guest's thread, and once it is the owner from the link's.
  Guest(Joining joining, std::unique_ptr<DoorClient> door, const Log& log);
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest() override;

  void submit(Request request, std::chrono::milliseconds timeout, Done done) override;
  [[nodiscard]] ClientStatus status() override;
  [[nodiscard]] bool wait(Condition reached, Condition given_up,
                          std::chrono::milliseconds timeout) override;
  void leave() override;

  // False: it owns the replica now. From any thread.
  [[nodiscard]] bool through_owner() const { return through_owner_; }

 private:
  using Task = std::function<void()>;
  struct Call {
    Request request;
    TimePoint deadline;
    Done done;
    bool flying = false;        // the present owner has it
    bool may_have_run = false;  // under the request's TxId
    bool moved = false;         // a former owner had it
  };
  using Calls = std::map<std::uint64_t, Call>;

  void run();
  void turn();
  void start(Request request, TimePoint deadline, Done done);
  void fly();
  void take(DoorMessage message);
  void take_event(const ClientEvent& event);
  void take_tx(const DoorTx& given);
  void take_done(DoorDone done);
  void lose_owner();
  void seek(TimePoint now);
  void come_in(std::unique_ptr<DoorClient> door);
  void become_owner(std::unique_ptr<Backend> owner);
  void hand_on(Call call);
  void see(const std::string& position);
  void check(TimePoint now);
  void end(Calls::iterator call, const std::string& why);
  void stop(int exit_code, std::string why);
  void tell(const ClientEvent& event) const;
  void finish();

  const Joining joining_;
  const Log& log_;
  Mailbox<Task> tasks_;
  std::atomic<bool> through_owner_{true};
  // The thread's own:
  std::unique_ptr<DoorClient> door_;  // one of the two, or neither: looking for an owner
  std::unique_ptr<Backend> owner_;
  ClientStatus status_;  // while there is no owner_
  std::string seen_;     // the position up to which the application was told of changes
  bool was_live_ = false;
  bool stopped_ = false;
  TimePoint seek_at_;
  std::uint64_t next_ticket_ = 1;
  Calls calls_;
  std::set<std::uint64_t> grounded_;  // calls that the present owner does not have yet
  StatusWaits waits_;
  std::thread thread_;
};

}  // namespace csa
