#include "tests/sim/sim_admin.h"

#include "common/codec.h"

namespace csa::sim {
namespace {

constexpr milliseconds kAdminPatience{3000};
constexpr std::uint32_t kVerifyMs = 2000;

}  // namespace

SimAdmin::SimAdmin(World& world, SimBroker& broker, int party)
    : world_(world), broker_(broker), party_(party), identity_(world.random_id()) {}

void SimAdmin::migrate(const std::string& sql, std::function<void(const std::string&)> answered) {
  if (busy_) return;
  busy_ = true;
  request_ = Migrate{TxId{NodeId{identity_}, next_++}, sql, std::nullopt};
  answered_ = std::move(answered);
  greet();
}

void SimAdmin::verify(std::function<void(const AdminReply&)> told) {
  if (busy_) return;
  busy_ = true;
  request_ = Admin{next_++, AdminVerb::kVerify, kVerifyMs};
  told_ = std::move(told);
  greet();
}

// A new link for each attempt: whatever the old one still brings is not heard.
void SimAdmin::greet() {
  const std::uint64_t connection = ++connection_;
  const auto key = [this](std::uint64_t number) { return "admin" + std::to_string(number); };
  broker_.disconnect(key(connection - 1));
  broker_.connect(key(connection), party_, [this, connection](const Message& message) {
    if (busy_ && connection == connection_) hear(message);
  });
  Hello hello;
  hello.role = Role::kAdmin;
  hello.app = "csa";
  hello.group = "sim";
  hello.program = "csa-sim";
  hello.hostname = "admin";
  hello.incarnation = world_.random_id();
  hello.node = NodeId{identity_};
  send(hello);
  world_.after(kAdminPatience, [this, connection] {
    if (busy_ && connection == connection_) greet();
  });
}

void SimAdmin::send(const Message& message) {
  world_.send(party_, kBrokerParty,
              [this, key = "admin" + std::to_string(connection_), frame = encode(message)] {
                broker_.receive(key, frame);
              });
}

void SimAdmin::hear(const Message& message) {
  if (std::holds_alternative<Welcome>(message)) return send(request_);
  if (const auto* const reply = std::get_if<AdminReply>(&message)) {
    const auto* const asked = std::get_if<Admin>(&request_);
    if (asked == nullptr || asked->request != reply->request || !reply->ok) return;
    busy_ = false;
    return told_(*reply);
  }
  const auto* const migration = std::get_if<Migrate>(&request_);
  if (migration == nullptr) return;
  const auto* const ack = std::get_if<Ack>(&message);
  const auto* const nack = std::get_if<Nack>(&message);
  if (ack == nullptr && (nack == nullptr || nack->code == NackCode::kBusy)) return;
  if ((ack != nullptr ? ack->tx : nack->tx) != migration->tx) return;
  busy_ = false;
  answered_(ack != nullptr ? std::string() : nack->message);
}

}  // namespace csa::sim
