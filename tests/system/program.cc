#include "tests/system/program.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <utility>

#include "common/check.h"
#include "common/system_clock.h"

extern "C" char** environ;  // NOLINT

namespace csa::system_test {
namespace {

std::vector<std::string> environment_of(const Launch& launch) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!launch.environment.contains(text.substr(0, text.find('=')))) all.push_back(text);
  }
  for (const auto& [name, value] : launch.environment) {
    if (!value.empty()) all.push_back(name + "=" + value);
  }
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

// An unlinked file with this content, at its begin.
int content_file(const std::string& content) {
  const int file = ::memfd_create("csa-test", MFD_CLOEXEC);
  CSA_CHECK(file >= 0);
  CSA_CHECK(::write(file, content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  CSA_CHECK(::lseek(file, 0, SEEK_SET) == 0);
  return file;
}

}  // namespace

Program::Program(const Launch& launch) {
  std::vector<std::string> words = launch.command;
  std::vector<std::string> settings = environment_of(launch);
  std::vector<char*> arguments = pointers(words);
  std::vector<char*> environment = pointers(settings);
  const int in = content_file(launch.input);
  err_ = content_file({});
  std::array<int, 2> ends{};
  CSA_CHECK(::pipe2(ends.data(), O_CLOEXEC) == 0);
  out_ = ends[0];
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  CSA_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    // A test that is killed takes its programs with it.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(126);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::dup2(in, STDIN_FILENO);
    ::dup2(ends[1], STDOUT_FILENO);
    ::dup2(err_, STDERR_FILENO);
    ::execvpe(arguments[0], arguments.data(), environment.data());
    ::_exit(127);
  }
  ::close(in);
  ::close(ends[1]);
}

Program::Program(Program&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      out_(std::exchange(other.out_, -1)),
      err_(std::exchange(other.err_, -1)),
      code_(other.code_),
      unread_(std::move(other.unread_)) {}

Program::~Program() {
  kill();
  if (out_ >= 0) ::close(out_);
  if (err_ >= 0) ::close(err_);
}

bool Program::read_more(milliseconds timeout) {
  if (out_ < 0) return false;
  pollfd ready{out_, POLLIN, 0};
  if (::poll(&ready, 1, static_cast<int>(timeout.count())) <= 0) return false;
  std::array<char, 4096> piece{};
  const ssize_t size = ::read(out_, piece.data(), piece.size());
  if (size <= 0) {
    ::close(out_);
    out_ = -1;
    return false;
  }
  unread_.append(piece.data(), static_cast<std::size_t>(size));
  return true;
}

std::optional<std::string> Program::line(milliseconds timeout) {
  const auto end = after(timeout);
  while (true) {
    const std::size_t stop = unread_.find('\n');
    if (stop != std::string::npos) {
      std::string found = unread_.substr(0, stop);
      unread_.erase(0, stop + 1);
      return found;
    }
    if (!read_more(left(end)) && (out_ < 0 || is_past(end))) return std::nullopt;
  }
}

std::optional<std::string> Program::line_with(const std::string& text, milliseconds timeout) {
  const auto end = after(timeout);
  while (true) {
    std::optional<std::string> found = line(left(end));
    if (!found || found->find(text) != std::string::npos) return found;
  }
}

void Program::signal(int number) const {
  if (pid_ > 0 && !code_) ::kill(pid_, number);
}

void Program::reap(int options) {
  int status = 0;
  if (code_ || pid_ <= 0 || ::waitpid(pid_, &status, options) != pid_) return;
  code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::optional<int> Program::exit_code(milliseconds timeout) {
  const auto end = after(timeout);
  while (out_ >= 0 && !is_past(end)) (void)read_more(left(end));
  if (!code_ && pid_ > 0) {
    const int watch = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
    CSA_CHECK(watch >= 0);
    pollfd ended{watch, POLLIN, 0};
    (void)::poll(&ended, 1, static_cast<int>(left(end).count()));
    ::close(watch);
    reap(WNOHANG);
    // Who traces it is told of its end first.
    while (!code_ && !is_past(end)) {
      breathe();
      reap(WNOHANG);
    }
  }
  return code_;
}

void Program::kill() {
  if (pid_ <= 0 || code_) return;
  ::kill(pid_, SIGKILL);
  reap(0);
}

std::string Program::errors() const {
  std::string text;
  std::array<char, 4096> piece{};
  while (true) {
    const ssize_t size = ::pread(err_, piece.data(), piece.size(), static_cast<off_t>(text.size()));
    if (size <= 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(size));
  }
}

Finished run(const Launch& launch, milliseconds timeout) {
  Program program(launch);
  const std::optional<int> code = program.exit_code(timeout);
  return {code.value_or(-1), program.output(), program.errors()};
}

void breathe() { (void)::poll(nullptr, 0, 10); }

std::chrono::steady_clock::time_point after(milliseconds timeout) {
  return monotonic_now() + timeout;
}

bool is_past(std::chrono::steady_clock::time_point end) { return monotonic_now() >= end; }

milliseconds left(std::chrono::steady_clock::time_point end) {
  const auto rest = std::chrono::duration_cast<milliseconds>(end - monotonic_now());
  return std::max(rest, milliseconds{0});
}

}  // namespace csa::system_test
