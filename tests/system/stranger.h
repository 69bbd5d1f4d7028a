// TCP peers that are no csa program.
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace csa::system_test {

inline sockaddr_in local(const std::string& port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

class Stranger {
 public:
  Stranger(const std::string& port, const std::string& bytes)
      : file_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in address = local(port);
    const bool connected =
        ::connect(file_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
    CHECK(connected);
    if (connected) (void)::send(file_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  ~Stranger() {
    if (file_ >= 0) ::close(file_);
  }
  Stranger(Stranger&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  Stranger& operator=(Stranger&&) = delete;
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

 private:
  int file_;
};

// What a ZeroMQ socket without security says first.
inline std::string zmtp_greeting(const std::string& socket_type) {
  std::string bytes = std::string("\xff\0\0\0\0\0\0\0\0\x7f\x03\0", 12) + "NULL";
  bytes.resize(64, '\0');
  std::string ready = std::string("\x05READY\x0bSocket-Type", 18);
  ready += std::string("\0\0\0", 3) + static_cast<char>(socket_type.size()) + socket_type;
  return bytes + '\x04' + static_cast<char>(ready.size()) + ready;
}

}  // namespace csa::system_test
