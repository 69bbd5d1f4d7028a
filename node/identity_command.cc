// csa-node identity: which node this replica is; a new one for a replica that was copied.
#include <iostream>
#include <nlohmann/json.hpp>

#include "common/cli.h"
#include "node/commands.h"
#include "node/owner_lock.h"
#include "node/read_only.h"
#include "node/replica.h"

namespace csa {
namespace {

int print(const NodeOptions& options, const NodeId& node) {
  if (options.json) {
    std::cout << nlohmann::ordered_json{{"node", to_string(node)}}.dump() << std::endl;
  } else {
    std::cout << to_string(node) << std::endl;
  }
  return 0;
}

}  // namespace

int identity_command(const NodeOptions& options) {
  const std::string& path = options.client.replica;
  const Result<ReplicaGlance> glance = glance_at_replica(path);
  if (!glance) return report_error("csa-node", glance.error());
  if (!options.new_identity) return print(options, glance->node);
  Result<std::optional<OwnerLock>> lock = OwnerLock::try_take(path);
  if (!lock) return report_error("csa-node", lock.error());
  if (!*lock) {
    const auto owner = OwnerLock::owner_of(path);
    return report({4, "the replica " + path + " is in use" +
                          (owner ? " by process " + std::to_string(owner->pid) : std::string()) +
                          "; end that program first"});
  }
  const Log log = stderr_log("csa-node", options.log_level);
  Result<std::unique_ptr<Replica>> replica =
      Replica::open(path, options.client.app, options.client.group, log);
  if (!replica) return report_error("csa-node", replica.error());
  (*replica)->renew_identity();
  const NodeId node = (*replica)->state().node;
  (*replica)->close();
  return print(options, node);
}

}  // namespace csa
