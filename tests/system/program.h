// A running program of a system test: started with arguments and environment, its lines read with a
// deadline, signalled by its own pid. It is killed and reaped with its owner, so that no test
// leaves one behind. Belongs to one thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace csa::system_test {

using std::chrono::milliseconds;

// Long enough for a busy computer; nothing waits so long where all is well.
constexpr milliseconds kPatience{20000};

struct Launch {
  std::vector<std::string> command;  // the first: what to run, found as the shell does
  std::map<std::string, std::string> environment;  // beside the inherited; empty value: taken away
  std::string input;                               // its whole standard input
};

// REQUIRES of all: moved-from programs are not used.
class Program {
 public:
  explicit Program(const Launch& launch);
  ~Program();
  Program(Program&& other) noexcept;
  Program& operator=(Program&&) = delete;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // The next line of standard output without its end; nothing at the deadline or the end of output.
  [[nodiscard]] std::optional<std::string> line(milliseconds timeout = kPatience);
  // Reads on to the first line that holds `text`.
  [[nodiscard]] std::optional<std::string> line_with(const std::string& text,
                                                     milliseconds timeout = kPatience);
  void signal(int number) const;
  // Reads what it prints to its end. 128 + N where signal N ended it; nothing at the deadline.
  [[nodiscard]] std::optional<int> exit_code(milliseconds timeout = kPatience);
  // kill -9, and waits for the end.
  void kill();
  // Standard output that nobody took by lines; complete after exit_code().
  [[nodiscard]] const std::string& output() const { return unread_; }
  // Standard error so far.
  [[nodiscard]] std::string errors() const;

 private:
  bool read_more(milliseconds timeout);
  void reap(int options);

  pid_t pid_ = -1;
  int out_ = -1;
  int err_ = -1;  // an unlinked file
  std::optional<int> code_;
  std::string unread_;
};

struct Finished {
  int code = -1;  // -1: did not end in time
  std::string out;
  std::string err;
};
// Runs to the end.
[[nodiscard]] Finished run(const Launch& launch, milliseconds timeout = kPatience);

// Asks again and again until `condition` holds; false at the deadline.
template <typename Condition>
[[nodiscard]] bool eventually(const Condition& condition, milliseconds timeout = kPatience);

// A pause between two questions of eventually().
void breathe();
[[nodiscard]] std::chrono::steady_clock::time_point after(milliseconds timeout);
[[nodiscard]] bool is_past(std::chrono::steady_clock::time_point end);
// What is left of a timeout, never below zero.
[[nodiscard]] milliseconds left(std::chrono::steady_clock::time_point end);

template <typename Condition>
bool eventually(const Condition& condition, milliseconds timeout) {
  const auto end = after(timeout);
  while (!condition()) {
    if (is_past(end)) return false;
    breathe();
  }
  return true;
}

}  // namespace csa::system_test
