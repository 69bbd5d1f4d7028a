// The application's writes between call and outcome: TxIds, sending, sending again under the same
// TxId, visibility, deadlines. Part of Session. Pure, not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/message.h"
#include "node/session.h"

namespace csa {

class Writes {
 public:
  explicit Writes(std::uint64_t seed) : random_(seed) {}

  // Whose TxIds are given from now on. Counters up to `used` may be in use; none is reserved.
  // Writes that were sent under another NodeId are unknown for ever.
  void set_identity(const NodeId& node, std::uint64_t used);
  void set_reserved(std::uint64_t up_to);
  // No counter above this one can have been used: what is reserved is not given yet.
  [[nodiscard]] std::uint64_t used() const { return next_ - 1; }
  // A write waits for a TxId, and no counter is left.
  [[nodiscard]] bool needs_counters() const;
  // Outcomes of all counters up to here have been delivered, less those that somebody may still
  // ask for by hand.
  [[nodiscard]] std::uint64_t confirmed() const;

  // Every one gets one WriteDone: at once when it is beyond a limit or there are too many.
  void add(WriteCall call);
  // It only asks for an outcome.
  [[nodiscard]] static bool is_question(const WriteCall& call);
  // It brings the TxId that it may have run under.
  [[nodiscard]] static bool sent_before(const WriteCall& call);
  // What waited until its caller knew this TxId may go.
  void release(const TxId& tx);
  // What to send now, in order: unsent ones, those to send again.
  [[nodiscard]] std::vector<Message> take_sendable(TimePoint now);
  // Standalone: the next call in order that can be made on the replica, with its TxId; nullopt:
  // none (or none without counters). Until on_offline() it is nowhere else.
  [[nodiscard]] std::optional<OfflineWrite> take_offline(TimePoint now);
  // What became of it. Error: it was not made.
  void on_offline(Result<OfflineDone> result);
  // There will be no broker for a while: calls that only a broker can answer get `no_broker`. A
  // write that is committed there but not to be seen here is made on the replica too.
  void on_standalone(const std::string& no_broker);
  // No write may be confirmed that the journal from this counter on (0: none) still holds.
  void hold_confirmed_below(std::uint64_t first) { journal_first_ = first; }
  // Calls that were never sent are answered with `nack`.
  void reject_unsent(const Nack& nack);
  // The replica has no room: calls that were never sent are answered with `nack`, and those that
  // are committed do not wait to be seen.
  void on_disk_full(const Nack& nack);
  // Whether the broker that is written to takes a WRITE's nonce into its request hash.
  void set_nonces(bool taken) { nonces_ = taken; }
  // The answers may be lost: what has no outcome is sent again on the next link.
  void link_down();

  // `epoch`: of the broker that answers, as far as that is known.
  void on_ack(const Ack& ack, const Id128& epoch);
  // The broker that answers has begun another history, with all that the one before it holds.
  void on_next_epoch(const Id128& before, const Id128& after);
  // False: the TxId is not ours to use any more, renew the identity. The write waits.
  [[nodiscard]] bool on_nack(const Nack& nack, TimePoint now);
  // What the replica shows now.
  void on_position(const Position& position);
  // `no_broker`: what to tell those that were never sent.
  void on_deadline(TimePoint now, const std::string& no_broker);
  [[nodiscard]] std::optional<TimePoint> deadline(bool link_up) const;

  void fail_unsent(const std::string& no_broker);
  void fail_all(const std::string& why);
  [[nodiscard]] std::vector<WriteDone> take_done() { return std::exchange(done_, {}); }
  [[nodiscard]] std::vector<TxGiven> take_given() { return std::exchange(given_, {}); }
  void refuse(std::uint64_t call, const std::string& no_broker);
  [[nodiscard]] std::size_t count() const { return pending_.size(); }

 private:
  struct Pending {
    WriteCall call;
    TxId tx;                    // counter 0: none yet
    bool told = false;          // tell_tx: the caller was told tx
    int sends = 0;              // times sent
    int busy = 0;               // times the broker was too busy
    bool may_have_run = false;  // sent over an earlier link, without an answer
    std::size_t bytes = 0;
    std::optional<Nack> last_busy;  // the last answer, no outcome
    std::optional<TimePoint> resend_at;
    std::optional<Ack> ack;  // durable, waits to be visible
    Id128 ack_epoch;
    std::size_t ack_bytes = 0;
    bool offline = false;  // is being made on the replica
  };
  using Order = std::uint64_t;

  void resume(Order order, WriteCall& call, Pending& pending);
  void give_nonce(WriteCall& call);
  [[nodiscard]] bool visible(const Pending& pending) const;
  // Whoever called is told the TxId, and the write waits for release().
  void tell(Order order, Pending& pending);
  [[nodiscard]] bool assign_tx(Order order, Pending& pending);
  [[nodiscard]] std::optional<Nack> beyond_limits(const WriteCall& call, std::size_t bytes) const;
  [[nodiscard]] std::vector<Order> orders_of(const TxId& tx) const;
  void forget_tx(Order order, const TxId& tx);
  // It did not run under its TxId: it gets another one, which the caller is told anew.
  void take_back_tx(Order order);
  // A copy of this replica has used it, and may have used the next ones: those that are reserved
  // from now on are above what the log shows.
  void take_back_used(Order order);
  void end(Order order, WriteDone done);
  void end_without_outcome(Order order, const std::string& no_broker);
  void end_committed(Order order, bool visible_now);
  void reject(Order order, Nack nack);
  void end_unknown(Order order, std::string message);
  void put_off(Order order, const Nack& nack, TimePoint now);

  std::mt19937_64 random_;
  bool nonces_ = false;
  NodeId node_;
  std::uint64_t next_ = 1;
  std::uint64_t reserved_ = 0;
  Order next_order_ = 0;
  std::map<Order, Pending> pending_;
  std::size_t pending_bytes_ = 0;
  std::size_t ack_bytes_ = 0;
  std::multimap<TxId, Order> by_tx_;
  std::set<std::uint64_t> open_;  // counters of node_ whose outcome was not delivered
  std::set<Order> unsent_;
  std::set<Order> held_;  // told, not released
  std::set<std::pair<TimePoint, Order>> deadlines_;
  std::set<std::pair<TimePoint, Order>> resends_;
  std::set<Order> acked_;
  std::optional<Position> shown_;
  std::uint64_t journal_first_ = 0;
  std::optional<Order> offline_;    // the one that is out
  std::uint64_t journaled_to_ = 0;  // highest counter of node_ that take_offline() has given
  std::vector<WriteDone> done_;
  std::vector<TxGiven> given_;
};

}  // namespace csa
