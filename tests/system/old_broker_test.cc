// A broker's computer that was given up for lost comes back: whatever it does, and in whatever
// order, the broker that was restored elsewhere serves, and the old one ends without harm.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/beacon.h"
#include "common/sqlite.h"
#include "tests/system/place.h"

namespace csa::system_test::old_broker_test {
namespace {

constexpr const char* kSchema =
    "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT NOT NULL, stock INTEGER)";

// A shop whose broker has a till with one acknowledged change, and is replaced by another one that
// was restored from the till's replica.
class Shop {
 public:
  Shop() : old_master_(place_.master()) { place_.create(kSchema); }

  // `at`: gets the address.
  [[nodiscard]] Program serve_old(const Words& more = {}, std::string* at = nullptr) const {
    return served(old_master_, more, at);
  }
  [[nodiscard]] Program serve_new(const Words& more = {}) const {
    return served(new_master(), more, nullptr);
  }
  [[nodiscard]] Launch launch_old() const { return launch(old_master_, {}); }
  [[nodiscard]] const std::string& old_master() const { return old_master_; }
  [[nodiscard]] std::string new_master() const { return place_.file("new.db"); }
  [[nodiscard]] const Place& place() const { return place_; }
  void restore() {
    Launch launch = place_.broker({"restore", "--from", place_.file("till.db")});
    launch.environment["CSA_DB"] = new_master();
    const Finished restored = run(launch);
    REQUIRE_MESSAGE(restored.code == 0, restored.err << restored.out);
    place_.set_master(new_master());
  }

 private:
  [[nodiscard]] Launch launch(const std::string& master, const Words& more) const {
    Words words = {"serve", "--port", "0"};
    words.insert(words.end(), more.begin(), more.end());
    Launch launch = place_.broker(words);
    launch.environment["CSA_DB"] = master;
    return launch;
  }
  [[nodiscard]] Program served(const std::string& master, const Words& more,
                               std::string* at) const {
    Program program(launch(master, more));
    const std::optional<std::string> ready = program.line_with("csa-broker: ready");
    REQUIRE_MESSAGE(ready, program.errors());
    const std::size_t port = ready->find(" port=") + 6;
    if (at != nullptr) *at = "127.0.0.1:" + ready->substr(port, ready->find(' ', port) - port);
    return program;
  }

  Place place_;
  std::string old_master_;
};

// Everything that the database says, csa's own tables included.
std::string content_of(const std::string& path) {
  const Database db(path, Database::Mode::kReadOnly);
  std::string all;
  for (const char* const sql :
       {"SELECT group_concat(id || name || stock) FROM part",
        "SELECT count(*) || ' ' || max(part_id) FROM csa_log",
        "SELECT group_concat(generation || ' ' || hex(id)) FROM csa_epoch"}) {
    all += db.query_text(sql).value_or("") + "\n";
  }
  return all;
}

void must_be(WriteResult::Status status, Client& client, const std::string& sql) {
  const WriteResult result = client.exec(sql);
  REQUIRE_MESSAGE(result.status == status, sql << ": " << result.message);
}

bool is_at_generation(Client& client, const std::string& generation) {
  return eventually([&] {
    const ClientStatus status = client.status();
    return status.state == ClientState::kLive && status.pending == 0 &&
           status.epoch.rfind(generation + ".", 0) == 0;
  });
}

// It was told of the newer one, and what to do.
void must_have_ended(Program& old) {
  CHECK(old.exit_code() == 4);
  const std::string words = old.errors();
  CHECK_MESSAGE(words.find("it is generation 1 of this database") != std::string::npos, words);
  CHECK_MESSAGE(words.find("serves generation 2") != std::string::npos, words);
  CHECK_MESSAGE(words.find("on this computer a node is enough now") != std::string::npos, words);
}

sockaddr_in socket_address(std::uint32_t ip, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(ip);
  return address;
}

// A forged beacon: the broker of the place's group, at this port and generation 9.
void announce(const Place& place, std::uint16_t port) {
  Beacon beacon;
  beacon.kind = BeaconKind::kAnnounce;
  beacon.protocol_min = beacon.protocol_max = 1;
  beacon.cluster = cluster_id("csa", place.group());
  beacon.generation = 9;
  beacon.boot = 9;
  beacon.port = port;
  beacon.pub_port = port;
  beacon.interval_ms = 1000;
  const auto datagram = encode(beacon);
  const int file = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  CHECK(::setsockopt(file, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) == 0);
  const sockaddr_in to = socket_address(0x7fffffff, place.beacon_port());  // every listener here
  CHECK(::sendto(file, datagram.data(), datagram.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                 sizeof(to)) == static_cast<ssize_t>(datagram.size()));
  ::close(file);
}

// Listens on a port of its own, and never says a word.
class Listener {
 public:
  Listener() : file_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in address = socket_address(INADDR_LOOPBACK, 0);
    auto* const plain = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof(address);
    REQUIRE(::bind(file_, plain, size) == 0);
    REQUIRE(::listen(file_, 8) == 0);
    REQUIRE(::getsockname(file_, plain, &size) == 0);
    port_ = ntohs(address.sin_port);
  }
  ~Listener() { ::close(file_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  // Somebody connects, and is hung up on.
  [[nodiscard]] bool was_called() const {
    int caller = -1;
    const bool called = eventually([&] {
      caller = ::accept(file_, nullptr, nullptr);
      return caller >= 0;
    });
    if (called) ::close(caller);
    return called;
  }

 private:
  int file_;
  std::uint16_t port_ = 0;
};

}  // namespace

TEST_CASE("old broker: it runs when the restored one starts, and ends itself") {
  Shop shop;
  Program old = shop.serve_old();
  const std::unique_ptr<Client> till = shop.place().client("till.db");
  REQUIRE(till->wait_for(ClientState::kLive, kPatience));
  must_be(WriteResult::Status::kCommitted, *till, "INSERT INTO part VALUES (1, 'bolt', 10)");
  shop.restore();
  const std::string before = content_of(shop.old_master());
  Program restored = shop.serve_new();
  must_have_ended(old);
  CHECK(content_of(shop.old_master()) == before);
  REQUIRE(is_at_generation(*till, "2"));
  must_be(WriteResult::Status::kCommitted, *till, "UPDATE part SET stock = 9 WHERE id = 1");
  CHECK(shop.place().difference_of("till.db") == "");
  // Once more: now the new one is there first.
  const Finished again = run(shop.launch_old());
  CHECK(again.code == 4);
  CHECK_FALSE(restored.exit_code(milliseconds{0}).has_value());
}

TEST_CASE("old broker: it starts deaf, serves beside the restored one, and ends on hearing it") {
  Shop shop;
  std::optional<Program> old(shop.serve_old());
  const std::unique_ptr<Client> till = shop.place().client("till.db");
  const std::unique_ptr<Client> desk = shop.place().client("desk.db");
  REQUIRE(till->wait_for(ClientState::kLive, kPatience));
  REQUIRE(desk->wait_for(ClientState::kLive, kPatience));
  must_be(WriteResult::Status::kCommitted, *till, "INSERT INTO part VALUES (1, 'bolt', 10)");
  REQUIRE(shop.place().difference_of("till.db") == "");
  desk->leave();
  old->kill();
  shop.restore();
  Program restored = shop.serve_new();
  REQUIRE(is_at_generation(*till, "2"));

  // The network between the two is down: the one cannot speak, the other hears nothing.
  restored.signal(SIGSTOP);
  old.emplace(shop.serve_old());
  const std::string before = content_of(shop.old_master());
  // Who has followed the newer one works on by itself meanwhile.
  REQUIRE(till->wait_for(ClientState::kStandalone, kPatience));
  CHECK(eventually([&] { return till->status().text.find("An old broker") != std::string::npos; }));
  must_be(WriteResult::Status::kJournaled, *till, "UPDATE part SET stock = 7 WHERE id = 1");
  CHECK(content_of(shop.old_master()) == before);

  restored.signal(SIGCONT);
  must_have_ended(*old);
  CHECK(content_of(shop.old_master()) == before);
  REQUIRE(is_at_generation(*till, "2"));
  CHECK(count_of(shop.new_master(), "SELECT stock FROM part WHERE id = 1") == 7);
  CHECK(shop.place().difference_of("till.db") == "");
}

TEST_CASE("old broker: broadcasts do not reach it, it is answered by the newer one, and ends") {
  Shop shop;
  std::optional<Program> old(shop.serve_old());
  const std::unique_ptr<Client> till = shop.place().client("till.db");
  REQUIRE(till->wait_for(ClientState::kLive, kPatience));
  old->kill();
  shop.restore();
  // Announces itself on no network, and answers.
  Program restored = shop.serve_new({"--beacon-if", "none"});
  restored.signal(SIGSTOP);
  old.emplace(shop.serve_old());
  restored.signal(SIGCONT);
  must_have_ended(*old);
}

TEST_CASE("old broker: it hears no beacon, a node tells where it has followed the newer one") {
  Shop shop;
  std::optional<Program> old(shop.serve_old());
  std::unique_ptr<Client> till = shop.place().client("till.db");
  REQUIRE(till->wait_for(ClientState::kLive, kPatience));
  old->kill();
  shop.restore();
  Program restored = shop.serve_new();
  REQUIRE(is_at_generation(*till, "2"));
  till->leave();
  till.reset();
  std::string at;
  old.emplace(shop.serve_old({"--no-beacon"}, &at));
  const Finished status = run(shop.place().node("till.db", {"status", "--broker", at}));
  CHECK_MESSAGE((status.out + status.err).find("has followed generation 2") != std::string::npos,
                status.out << status.err);
  must_have_ended(*old);
}

TEST_CASE("old broker: beacons that claim a later generation end nobody") {
  const Place place;
  place.create(kSchema);
  Ready ready;
  Program broker = place.serve(ready);
  const std::unique_ptr<Client> till = place.client("till.db");
  REQUIRE(till->wait_for(ClientState::kLive, kPatience));
  // Where the beacons say that the newer one is: one that takes the connection and says nothing,
  // the broker itself, and nobody.
  const Listener silent;
  for (const std::uint16_t port :
       {silent.port(), static_cast<std::uint16_t>(std::stoi(ready.port)), std::uint16_t{9}}) {
    announce(place, port);
  }
  CHECK(silent.was_called());
  CHECK(eventually([&] {
    announce(place, silent.port());
    return broker.errors().find("another broker serves this group") != std::string::npos;
  }));
  must_be(WriteResult::Status::kCommitted, *till, "INSERT INTO part VALUES (1, 'bolt', 10)");
  CHECK_FALSE(broker.exit_code(milliseconds{0}).has_value());
}

}  // namespace csa::system_test::old_broker_test
