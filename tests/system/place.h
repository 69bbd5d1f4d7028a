// Where a system test happens: a fresh folder, a group and a beacon port that nobody else on this
// computer has, and csa's programs started so that no packet leaves the computer.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "node/client.h"
#include "tests/support/scratch_folder.h"
#include "tests/system/program.h"

namespace csa::system_test {

using Words = std::vector<std::string>;

// The ready line of csa-broker.
struct Ready {
  std::string port;
  std::string pub_port;
  std::string position;
};

class Place {
 public:
  // Without a name, the group is one of the test's own.
  explicit Place(std::string group = {});
  [[nodiscard]] std::string file(const std::string& name) const { return folder_.file(name); }
  [[nodiscard]] const std::string& folder() const { return folder_.path(); }
  [[nodiscard]] const std::string& group() const { return group_; }
  [[nodiscard]] std::uint16_t beacon_port() const { return beacon_port_; }
  [[nodiscard]] const std::string& master() const { return master_; }
  // Elsewhere than in the folder.
  void set_master(const std::string& path) { master_ = path; }

  // Launches to be started or changed further. `arguments` come after the fixed ones.
  [[nodiscard]] Launch broker(const Words& arguments) const;
  [[nodiscard]] Launch node(const std::string& replica, const Words& arguments) const;
  [[nodiscard]] Launch admin(const Words& arguments) const;
  // Of all launches from now on.
  void set_change(std::function<void(Launch&)> change) { change_ = std::move(change); }

  // csa-broker create from this SQL; adopt of a copy of `database`.
  void create(const std::string& schema) const;
  void adopt(const std::string& database) const;
  // csa-broker serve on free ports, or those of `before`; REQUIREs that it becomes ready.
  [[nodiscard]] Program serve(Ready& ready, const Words& arguments = {}) const;
  // csa-node run that has become live.
  [[nodiscard]] Program live_node(const std::string& replica, const Words& arguments = {}) const;
  // A client of this place in the test's own program, not waited for.
  [[nodiscard]] std::unique_ptr<Client> client(const std::string& replica) const;
  [[nodiscard]] ClientOptions client_options(const std::string& replica) const;

  // csa-node exec --json on a replica.
  [[nodiscard]] nlohmann::json exec(const std::string& replica, const std::string& sql) const;
  // csa-admin's JSON.
  [[nodiscard]] nlohmann::json ask_admin(const std::string& what) const;
  // Empty: master and replica are equal and the replica is whole. Waits for the replica to catch
  // up.
  [[nodiscard]] std::string difference_of(const std::string& replica,
                                          milliseconds timeout = kPatience) const;

 private:
  [[nodiscard]] Launch launch(const std::string& program, const Words& arguments) const;
  [[nodiscard]] Launch changed(Launch launch) const;

  ScratchFolder folder_;
  std::string group_;
  std::uint16_t beacon_port_;
  std::string master_;
  std::function<void(Launch&)> change_;
};

[[nodiscard]] bool is_root();
// Says so and gives true where the test cannot go on.
[[nodiscard]] bool skipped_without_root();
[[nodiscard]] std::int64_t count_of(const std::string& database, const std::string& sql);
// Runs SQL on a new or existing ordinary database.
void run_sql(const std::string& database, const std::string& sql);

}  // namespace csa::system_test
