// What a program needs of the computer it runs on: its name, and the signals that ask it to stop.
#pragma once

#include <cstdint>
#include <string>

namespace csa {

// "localhost" where the kernel will not say.
[[nodiscard]] std::string host_name();

// Names this run of the computer's kernel; 0 where it will not say.
[[nodiscard]] std::uint64_t boot_hash();

// SIGINT and SIGTERM as something to wait for. Make it before any thread: it blocks both signals,
// and threads inherit that. One a program.
class StopSignals {
 public:
  // Throws std::system_error.
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // Readable when one has come.
  [[nodiscard]] int file() const { return file_; }
  // Takes one that has come; does not wait.
  [[nodiscard]] bool taken() const;

 private:
  int file_ = -1;
};

}  // namespace csa
