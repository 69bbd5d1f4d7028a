// csa-node run, status and identity.
#include <unistd.h>

#include <iostream>

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
    print_standalone(0, std::cerr, ::isatty(STDERR_FILENO) == 1);
  }
  if (!event.text.empty()) std::cerr << "csa-node: " << event.text << std::endl;
}

}  // namespace

int run_command(const NodeOptions& options) {
  const StopSignals signals;
  // The end asked for by --on-disconnect shutdown arrives from csa's thread through a pipe.
  int stopped[2] = {-1, -1};
  if (::pipe(stopped) != 0) {
    std::cerr << "csa-node: cannot make a pipe" << std::endl;
    return 1;
  }
  ClientOptions client = with_log(options);
  auto bar = std::make_shared<ProgressBar>("full copy");
  client.on_event = [bar, end = stopped[1]](const ClientEvent& event) {
    if (event.kind == ClientEvent::Kind::kProgress) bar->update(event.bytes, event.total);
    if (event.kind == ClientEvent::Kind::kState) {
      bar->clear();
      print_state(event);
    }
    if (event.kind == ClientEvent::Kind::kStopped) {
      std::cerr << "csa-node: " << event.text << std::endl;
      const auto code = static_cast<char>(event.exit_code);
      if (::write(end, &code, 1) != 1) std::cerr << "csa-node: cannot stop" << std::endl;
    }
  };
  OpenedClient opened = Client::open(client);
  if (!opened.client) return report(opened.failure);
  int code = 0;
  fd_set ready;
  FD_ZERO(&ready);
  FD_SET(signals.file(), &ready);
  FD_SET(stopped[0], &ready);
  while (::select(std::max(signals.file(), stopped[0]) + 1, &ready, nullptr, nullptr, nullptr) <
         0) {
    if (errno != EINTR) break;
  }
  if (FD_ISSET(stopped[0], &ready)) {
    char byte = 0;
    if (::read(stopped[0], &byte, 1) == 1) code = byte;
  }
  opened.client->leave();
  return code;
}

int status_command(const NodeOptions& options) {
  OpenedClient opened = join(options);
  if (!opened.client) return report(opened.failure);
  const ClientStatus status = opened.client->status();
  if (options.json) {
    std::cout << status_json(status) << std::endl;
  } else {
    std::cout << status_text(status) << std::endl;
  }
  if (const auto code = nothing_to_read(status)) return *code;
  notice_standalone(status);
  return 0;
}

}  // namespace csa
