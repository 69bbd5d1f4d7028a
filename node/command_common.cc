#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <iterator>

#include "common/cli.h"
#include "common/progress.h"
#include "common/system_clock.h"
#include "common/text_file.h"
#include "node/commands.h"
#include "node/install.h"

namespace csa {
namespace {

static_assert(static_cast<int>(LogLevel::kDebug) == static_cast<int>(ClientLogLevel::kDebug));

// A journal that has not become shorter for so long does not get on.
constexpr std::chrono::seconds kReplayStuck{5};

void wait_for_replay(Client& client, std::chrono::milliseconds most) {
  using std::chrono::milliseconds;
  const TimePoint end = monotonic_now() + most;
  ClientStatus before = client.status();
  while (before.state == ClientState::kReplaying) {
    const auto rest = std::chrono::duration_cast<milliseconds>(end - monotonic_now());
    if (rest <= milliseconds{0}) return;
    (void)client.settle(std::min<milliseconds>(kReplayStuck, rest));
    const ClientStatus now = client.status();
    if (now.stalled) return;
    if (now.state == ClientState::kReplaying && now.pending >= before.pending) return;
    before = now;
  }
  (void)client.wait_until_readable(kJoinMax);
}

}  // namespace

ClientOptions with_log(const NodeOptions& options) {
  ClientOptions client = options.client;
  if (!client.on_log) {
    client.on_log = [log = stderr_log("csa-node", options.log_level)](ClientLogLevel level,
                                                                      std::string_view line) {
      log.write(static_cast<LogLevel>(level), line);
    };
  }
  return client;
}

int report(const ClientFailure& failure) {
  std::cerr << "csa-node: " << failure.text << std::endl;
  return failure.exit_code;
}

OpenedClient join(const NodeOptions& options, std::chrono::milliseconds replay_max) {
  ClientOptions client_options = with_log(options);
  auto bar = std::make_shared<ProgressBar>("full copy");
  client_options.on_event = [bar, next = client_options.on_event](const ClientEvent& event) {
    if (event.kind == ClientEvent::Kind::kProgress) bar->update(event.bytes, event.total);
    if (event.kind == ClientEvent::Kind::kState) bar->clear();
    print_outcome(event, std::cerr);
    print_kept(event, std::cerr, terminal_width(STDERR_FILENO));
    if (next) next(event);
  };
  OpenedClient opened = Client::open(client_options);
  if (!opened.client) return opened;
  (void)opened.client->wait_until_readable(kJoinMax);
  if (!opened.client->works_through_owner()) wait_for_replay(*opened.client, replay_max);
  bar->clear();
  return opened;
}

void print_status(const ClientStatus& status, bool json) {
  const std::vector<std::string> kept = kept_aside(status.replica);
  std::cout << (json ? status_json(status, kept) : status_text(status, kept)) << std::endl;
}

void notice_standalone(const ClientStatus& status) {
  if (status.stalled) {
    std::cerr << "csa-node: " << status.text << std::endl;
    return;
  }
  if (status.state == ClientState::kLive || status.state == ClientState::kCatchingUp) return;
  if (status.state == ClientState::kRefused) {
    std::cerr << "csa-node: refused by the broker: " << status.text << std::endl;
  } else if (status.state == ClientState::kReplaying) {
    std::cerr << "csa-node: offline changes are being handed over to the broker (" << status.pending
              << " waiting)" << std::endl;
  } else {
    print_standalone(status.pending, std::cerr, terminal_width(STDERR_FILENO));
  }
}

std::optional<int> nothing_to_read(const ClientStatus& status) {
  if (!status.epoch.empty()) return std::nullopt;
  if (status.stalled) {
    std::cerr << "csa-node: " << status.text << std::endl;
    return 1;
  }
  if (status.state == ClientState::kRefused) {
    std::cerr << "csa-node: refused by the broker: " << status.text << std::endl;
    return 4;
  }
  std::cerr << "csa-node: nothing to work on: no broker of group '" << status.group
            << "' was found, and there is no replica yet at " << status.replica
            << ".\nStart a broker (csa-broker serve --db FILE), or name one: --broker HOST[:PORT]. "
               "`csa-node discover` shows what the network says."
            << std::endl;
  return 3;
}

SqlText sql_text(const NodeOptions& options) {
  SqlText text;
  if (!options.file.empty()) {
    Result<std::string> read = read_text_file(options.file);
    if (read) {
      text.sql = std::move(read).value();
    } else {
      text.error = read.error().what;
    }
    return text;
  }
  if (options.sql.size() == 1 && options.sql[0] == "-") {
    text.sql.assign(std::istreambuf_iterator<char>(std::cin), {});
    return text;
  }
  for (const std::string& part : options.sql) {
    if (!text.sql.empty()) text.sql += ";\n";
    text.sql += part;
  }
  if (text.sql.empty()) text.error = "no SQL given: as arguments, --file FILE, or - for stdin";
  return text;
}

}  // namespace csa
