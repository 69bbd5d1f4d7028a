// The UDP side of discovery: datagrams out on every LAN of this computer, datagrams in with the
// address and interface they came by. An interface that cannot be used is skipped and reported, the
// others go on. Belongs to one thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/beacon.h"
#include "common/discovery.h"
#include "common/log.h"
#include "common/net_interfaces.h"
#include "common/types.h"

namespace csa {

// A descriptor with an owner.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int file) : file_(file) {}
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket();
  [[nodiscard]] int get() const { return file_; }
  explicit operator bool() const { return file_ >= 0; }

 private:
  int file_ = -1;
};

// What the network doctor shows of one interface.
struct InterfaceReport {
  std::string name;
  std::string address;
  std::uint64_t sent = 0;
  std::uint64_t heard = 0;
  std::string error;  // empty: none
};

class BeaconPort {
 public:
  struct Options {
    std::uint16_t port = 5775;
    bool listen = true;                   // false: only answers to own PROBEs are heard
    std::vector<std::string> interfaces;  // by name (--beacon-if); empty: all
    std::string only_address;    // announce from this address alone (--listen); empty: from all
    std::vector<Endpoint> also;  // unicast targets beside the broadcasts
  };
  BeaconPort(Options options, const Log& log);

  // Descriptors to wait on; they change when the interfaces do: ask before each wait.
  [[nodiscard]] std::vector<int> fds() const;
  // To every LAN. Errors are kept per interface and logged once per change.
  void broadcast(const Beacon& beacon, TimePoint now);

  struct Heard {
    HeardBeacon heard;
    std::uint32_t source = 0;  // host order
    std::uint16_t source_port = 0;
    std::uint32_t arrived_at = 0;  // own address it was sent to, or that of its interface
  };
  // Everything that has arrived, at most `max` datagrams; what is no beacon is counted and dropped.
  [[nodiscard]] std::vector<Heard> receive(std::size_t max);
  // Unicast to where `to` came from, from the address it arrived at.
  void answer(const Beacon& beacon, const Heard& to);

  [[nodiscard]] std::vector<InterfaceReport> report() const;
  // Why nobody else's beacons can be heard; empty: they can.
  [[nodiscard]] const std::string& listen_error() const { return listen_error_; }
  [[nodiscard]] std::uint64_t nonsense() const { return nonsense_; }

 private:
  struct Sender {
    NetInterface interface;
    Socket socket;
    InterfaceReport report;
  };
  bool unicast(const Beacon& beacon, std::uint32_t address, std::uint16_t port);
  void listen();
  void refresh(TimePoint now);
  void open_sender(const NetInterface& interface);
  void note_error(Sender& sender, const std::string& error);
  void receive_from(int file, std::size_t max, std::vector<Heard>& out);
  [[nodiscard]] const NetInterface* interface_of(std::uint32_t source, std::uint32_t local) const;

  Options options_;
  const Log& log_;  // must outlive this
  Socket listener_;
  std::string listen_error_;
  Socket unicast_;
  std::map<Endpoint, std::string> also_errors_;
  std::vector<Sender> senders_;
  std::optional<TimePoint> refreshed_;
  bool again_ = false;  // a send failed: look at the interfaces anew
  std::uint64_t nonsense_ = 0;
  std::string listed_error_;
};

}  // namespace csa
