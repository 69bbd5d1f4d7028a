// The broker's shell: sockets, threads and signals around Hub, Ledger and Archive.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/log.h"
#include "common/result.h"
#include "common/sqlite.h"
#include "common/types.h"

namespace csa {

struct ServeConfig {
  std::string database;
  std::string app = "csa";
  std::string group = "default";
  std::string app_version;
  std::string listen;          // empty: all addresses
  std::uint16_t port = 5775;   // 0: free ports for both
  std::uint16_t pub_port = 0;  // 0: port + 1
  std::uint16_t beacon_port = 5775;
  std::vector<std::string> beacon_interfaces;  // by name; empty: all
  bool beacon = true;
  std::vector<std::string> announce_to;  // further addresses for ANNOUNCE, unicast
  Duration heartbeat{};
  Duration node_timeout{};
  Duration statement_timeout{};
  std::uint64_t log_keep = 0;
  std::uint64_t max_changes = 0;
};

class RivalSearch;

// Serves until SIGTERM, SIGINT or an ADMIN stop; prints the ready line on stdout. REQUIRES: the
// database was found sound and its BrokerLock is held, and `search` was begun, if there is to be
// one. `held` is kept until the broker has the database open itself (see keep_open()). Error: ports
// taken, another broker serves the group (kRefused, names it), the disk failed.
[[nodiscard]] Status serve(const ServeConfig& config, RivalSearch& search,
                           std::unique_ptr<Database> held, const Log& log);

}  // namespace csa
