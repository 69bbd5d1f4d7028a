// What a simulated node has with the broker: links, and the frames that go over them.
#include "common/beacon.h"
#include "common/codec.h"
#include "tests/sim/checkers.h"
#include "tests/sim/sim_node.h"

namespace csa::sim {

void SimNode::close_links() {
  for (const PeerKey& key : {dealer_, sub_}) {
    if (!key.empty()) broker_.disconnect(key);
  }
  dealer_.clear();
  sub_.clear();
  ++connection_;
}

std::function<void(Message)> SimNode::receiver() {
  return [this, life = life_, connection = connection_](const Message& message) {
    arrive([this, life, connection, message] {
      if (!running() || life != life_ || connection != connection_) return;
      if (on_heard) on_heard(*this, message);
      const bool told = std::holds_alternative<Rehello>(message) && welcomed_ == connection;
      if (std::holds_alternative<Welcome>(message)) welcomed_ = connection;
      session().on_message(message, world_.now());
      pump();
      if (told && connection == connection_) {
        throw Violation("node " + name() + " was told REHELLO and stays on the same link");
      }
    });
  };
}

// As Dialer does: what joins goes in one frame, and arrives or is lost together.
void SimNode::carry_out(const std::vector<UplinkAction>& actions) {
  std::vector<const Message*> messages;
  for (std::size_t i = 0; i < actions.size(); ++i) {
    const auto* const send = std::get_if<SendRequest>(&actions[i]);
    if (send == nullptr) {
      act(actions[i]);
      continue;
    }
    messages.push_back(&send->message);
    const auto* const next =
        i + 1 < actions.size() ? std::get_if<SendRequest>(&actions[i + 1]) : nullptr;
    if (next != nullptr && joins(send->message) && joins(next->message)) continue;
    send_frames(messages);
    messages.clear();
  }
}

void SimNode::send_frames(std::span<const Message* const> messages) {
  for (const Message* const message : messages) {
    const auto* const get = std::get_if<SnapshotGet>(message);
    if (const auto* const log = std::get_if<LogGet>(message)) asked_after_ = log->after.seq;
    if (get != nullptr && get->snapshot.is_zero() && on_ask_copy) on_ask_copy(*this);
  }
  while (!messages.empty()) {
    JoinedFrame joined = encode_joined(messages);
    messages = messages.subspan(joined.count);
    if (joined.count > 1) ++world_.counts["joined frame of a node"];
    const Bytes frame = as_it_arrives(world_, party_, std::move(joined.frame));
    world_.send(party_, kBrokerParty,
                [this, key = dealer_, frame] { broker_.receive(key, frame); });
  }
}

void SimNode::act(const UplinkAction& action) {
  if (std::holds_alternative<OpenRequest>(action)) {
    if (on_open) on_open(*this);
    close_links();
    dealer_ = "d" + name() + "." + std::to_string(connection_) + "." + std::to_string(life_);
    if (broker_.running()) {
      broker_.connect(dealer_, party_, receiver());
    } else {
      world_.after(milliseconds{1}, [this, connection = connection_] {
        arrive([this, connection] {
          if (!running() || connection != connection_) return;
          session().on_disconnected("connection refused", world_.now());
          pump();
        });
      });
    }
  } else if (const auto* const subscription = std::get_if<OpenSubscription>(&action)) {
    if (!sub_.empty()) broker_.disconnect(sub_);
    sub_ = dealer_ + "s";
    world_.send(party_, kBrokerParty,
                [this, key = sub_, topics = subscription->topics, deliver = receiver()] {
                  if (key == sub_) broker_.subscribe(key, party_, topics, deliver);
                });
  } else if (std::holds_alternative<CloseLinks>(action)) {
    close_links();
  } else if (const auto* const probe = std::get_if<SendProbe>(&action)) {
    world_.send(party_, kBrokerParty, [this, life = life_, nonce = probe->nonce] {
      if (!broker_.running()) return;
      world_.send(kBrokerParty, party_, [this, life, nonce] {
        if (asleep_) return;  // a datagram does not wait
        if (!running() || life != life_ || !broker_.running()) return;
        HeardBeacon heard;
        heard.address = "10.0.0.1";
        heard.beacon.kind = BeaconKind::kAnnounce;
        heard.beacon.protocol_min = kProtocolVersion;
        heard.beacon.protocol_max = kProtocolVersion;
        heard.beacon.cluster = cluster_id("csa", "sim");
        heard.beacon.boot = broker_.boot();
        heard.beacon.port = 5775;
        heard.beacon.pub_port = 5776;
        heard.beacon.interval_ms = 1000;
        heard.beacon.nonce = nonce;
        session().on_beacon(heard, world_.now());
        pump();
      });
    });
  }
}

}  // namespace csa::sim
