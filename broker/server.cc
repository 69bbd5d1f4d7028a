#include "broker/server.h"

#include <sys/resource.h>

#include <iostream>

#include "broker/server_front.h"
#include "broker/server_rivals.h"
#include "broker/server_stores.h"
#include "common/host.h"
#include "common/limits.h"
#include "common/net_interfaces.h"
#include "common/planted.h"
#include "common/random.h"
#include "common/system_clock.h"
#include "common/thread_priority.h"

namespace csa {
namespace {

// Every peer takes two connections.
void raise_file_limit() {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  const rlim_t wanted =
      std::min<rlim_t>(files.rlim_max, limits::kConnectionsMax + 2 * limits::kFilesReserved);
  if (files.rlim_cur >= wanted) return;
  files.rlim_cur = wanted;
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) return;  // then fewer peers fit
}

// Nothing: the file does not tell; it is looked at again when it is opened.
std::optional<OwnHistory> own_history(const std::string& database) {
  try {
    const Result<Meta> meta = read_meta(Database(database, Database::Mode::kReadOnly));
    if (!meta) return std::nullopt;
    return OwnHistory{meta->db, meta->position.epoch.generation};
  } catch (const SqliteError&) {
    return std::nullopt;
  }
}

// Whether this broker must not start because of the one that has answered.
Status stand_beside(const ServeConfig& config, const RivalGreeter::Answer& answer, const Log& log) {
  const auto* const rival = std::get_if<Welcome>(&answer.said);
  if (rival == nullptr) return rival_error(config.group, "another computer", answer.at);
  const std::optional<OwnHistory> own = own_history(config.database);
  switch (own ? rival_kind(*own, *rival) : RivalKind::kOther) {
    case RivalKind::kOther:
      return rival_error(config.group, rival->hostname, answer.at);
    case RivalKind::kNewer:
      return outdated_error(config.database, *own, *rival, answer.at);
    case RivalKind::kOlder:
      log.warn("broker: the broker on " + shown(rival->hostname) + " (" + to_string(answer.at) +
               ") is an old one, at generation " + std::to_string(rival->head.epoch.generation) +
               " of this database; here it is " + std::to_string(own->generation) +
               ". It ends when it meets this one");
      return Ok{};
  }
  return Ok{};
}

LedgerOptions ledger_options(const ServeConfig& config) {
  LedgerOptions options;
  options.max_changes = config.max_changes;
  options.log_keep = config.log_keep;
  options.rows_max = limits::kRowsMax;
  options.statement_timeout = config.statement_timeout;
  options.monotonic_now = [] { return monotonic_now(); };
  options.local_now = [boot = boot_hash()] { return local_now(boot); };
  options.random_id = [] { return random_id(); };
  return options;
}

}  // namespace

Status serve(const ServeConfig& config, RivalSearch& search, std::unique_ptr<Database> held,
             const Log& log) try {
  for (const std::string& text : config.announce_to) {
    const std::optional<Endpoint> endpoint = parse_endpoint(text, config.beacon_port);
    if (!endpoint || parse_ip(endpoint->host) == 0) {
      return Error{Errc::kUsage, "--announce-to takes an IPv4 address, not '" + text + "'"};
    }
  }
  const StopSignals signals;
  raise_file_limit();
  for (const RivalGreeter::Answer& answer : search.end()) {
    CSA_TRY(stand_beside(config, answer, log));
  }
  Stores stores(config.database, ledger_options(config), log);
  held.reset();
  crash_point("server: opened");
  // The front, and the socket threads that it starts, go before the stores' long work: whether the
  // broker lives must not depend on what else keeps this computer busy.
  set_thread_priority(ThreadPriority::kFirst);
  Front front(config, stores, log);
  CSA_TRY(front.bind());
  front.start(random_id(), random_u64());
  std::cout << "csa-broker: ready group=" << config.group << " port=" << front.port()
            << " pub-port=" << front.pub_port() << " position=" << to_string(stores.master().head)
            << std::endl;
  const Status ended = front.run(signals);
  crash_point("server: before the end");
  stores.stop();
  if (!ended) return ended.error();
  if (stores.fatal()) return *stores.fatal();
  return Ok{};
} catch (const SqliteError& error) {
  if (!is_damage(error)) throw;
  return end_of_damage("start", config.database, error);
}

}  // namespace csa
