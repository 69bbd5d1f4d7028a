// csa-node run, status and identity.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <iostream>

#include "common/cli.h"
#include "common/host.h"
#include "common/progress.h"
#include "node/commands.h"

namespace csa {
namespace {

void print_state(const ClientEvent& event) {
  const auto or_dash = [](const std::string& text) { return text.empty() ? "-" : text.c_str(); };
  std::cout << "csa-node: state=" << to_string(event.state)
            << " position=" << or_dash(event.position) << " broker=" << or_dash(event.broker)
            << std::endl;
  if (event.state == ClientState::kStandalone) {
    const std::size_t width = terminal_width(STDERR_FILENO);
    if (event.position.empty()) {
      print_no_copy(std::cerr, width);
    } else {
      print_standalone(event.pending, std::cerr, width);
    }
  }
  if (!event.text.empty()) std::cerr << "csa-node: " << event.text << std::endl;
}

// The ends of a pipe through which csa's thread tells main how the client ended.
struct Ends {
  int read = -1;
  int write = -1;
};

int run_until_stopped(const NodeOptions& options, const StopSignals& signals, const Ends& ends) {
  ClientOptions client = with_log(options);
  auto bar = std::make_shared<ProgressBar>("full copy");
  auto replay = std::make_shared<ProgressBar>("offline changes");
  client.on_event = [bar, replay, end = ends.write](const ClientEvent& event) {
    if (event.kind == ClientEvent::Kind::kProgress) bar->update(event.bytes, event.total);
    if (event.kind == ClientEvent::Kind::kReplay) {
      replay->update(event.total - event.pending, event.total);
    }
    if (event.kind == ClientEvent::Kind::kState) {
      bar->clear();
      replay->clear();
      print_state(event);
    }
    print_outcome(event, std::cerr);
    print_kept(event, std::cerr, terminal_width(STDERR_FILENO));
    if (event.kind == ClientEvent::Kind::kStopped) {
      std::cerr << "csa-node: " << event.text << std::endl;
      const auto code = static_cast<char>(event.exit_code);
      if (::write(end, &code, 1) != 1) std::cerr << "csa-node: cannot stop" << std::endl;
    }
  };
  OpenedClient opened = Client::open(client);
  if (!opened.client) return report(opened.failure);
  std::array<pollfd, 2> items{{{signals.file(), POLLIN, 0}, {ends.read, POLLIN, 0}}};
  while (::poll(items.data(), items.size(), -1) < 0) {
    if (errno != EINTR) break;
  }
  int code = 0;
  char byte = 0;
  if ((items[1].revents & POLLIN) != 0 && ::read(ends.read, &byte, 1) == 1) code = byte;
  opened.client->leave();
  return code;
}

}  // namespace

int run_command(const NodeOptions& options) {
  const StopSignals signals;
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) {
    std::cerr << "csa-node: cannot make a pipe" << std::endl;
    return 1;
  }
  return run_until_stopped(options, signals, {pipe[0], pipe[1]});
}

int status_command(const NodeOptions& options) {
  OpenedClient opened = join(options);
  if (!opened.client) return report(opened.failure);
  const ClientStatus status = opened.client->status();
  print_status(status, options.json);
  if (const auto code = nothing_to_read(status)) return *code;
  if (!status.stalled) notice_standalone(status);  // its text says it
  return 0;
}

}  // namespace csa
