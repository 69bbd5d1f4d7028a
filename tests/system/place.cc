#include "tests/system/place.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>

#include "common/sqlite.h"
#include "tests/support/compare.h"

namespace csa::system_test {
namespace {

std::uint16_t free_udp_port() {
  const int file = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t size = sizeof(address);
  auto* const plain = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(::bind(file, plain, size) == 0);
  REQUIRE(::getsockname(file, plain, &size) == 0);
  ::close(file);
  return ntohs(address.sin_port);
}

std::string after_word(const std::string& line, const std::string& word) {
  const std::size_t start = line.find(word);
  if (start == std::string::npos) return {};
  const std::size_t from = start + word.size();
  return line.substr(from, line.find(' ', from) - from);
}

}  // namespace

Place::Place(std::string group)
    : group_(std::move(group)), beacon_port_(free_udp_port()), master_(file("master.db")) {
  if (!group_.empty()) return;
  // The folder's name ends in mkdtemp's random letters.
  group_ = "test-" + std::to_string(::getpid()) + "-" + folder().substr(folder().size() - 6);
}

Launch Place::launch(const std::string& program, const Words& arguments) const {
  Launch launch;
  launch.command = {program};
  launch.command.insert(launch.command.end(), arguments.begin(), arguments.end());
  launch.environment = {{"CSA_BEACON_IF", "lo"},
                        {"CSA_GROUP", group_},
                        {"CSA_BEACON_PORT", std::to_string(beacon_port_)},
                        {"HOME", folder()},
                        {"XDG_DATA_HOME", folder()},
                        {"XDG_RUNTIME_DIR", folder()}};
  return launch;
}

Launch Place::changed(Launch launch) const {
  if (change_) change_(launch);
  return launch;
}

Launch Place::broker(const Words& arguments) const {
  Launch broker = launch(CSA_BROKER_PROGRAM, arguments);
  broker.environment["CSA_DB"] = master();
  return changed(std::move(broker));
}

Launch Place::node(const std::string& replica, const Words& arguments) const {
  Launch node = launch(CSA_NODE_PROGRAM, arguments);
  if (!replica.empty()) node.environment["CSA_REPLICA"] = file(replica);
  return changed(std::move(node));
}

Launch Place::admin(const Words& arguments) const {
  return changed(launch(CSA_ADMIN_PROGRAM, arguments));
}

void Place::create(const std::string& schema) const {
  std::ofstream(file("schema.sql")) << schema;
  const Finished made = run(broker({"create", "--schema", file("schema.sql")}));
  REQUIRE_MESSAGE(made.code == 0, made.err);
}

void Place::adopt(const std::string& database) const {
  std::filesystem::copy_file(database, master());
  std::filesystem::permissions(master(), std::filesystem::perms::owner_write,
                               std::filesystem::perm_options::add);
  const Finished made = run(broker({"adopt"}));
  REQUIRE_MESSAGE(made.code == 0, made.err << made.out);
}

Program Place::serve(Ready& ready, const Words& arguments) const {
  Words all = {"serve", "--port", ready.port.empty() ? "0" : ready.port};
  if (!ready.pub_port.empty()) all.insert(all.end(), {"--pub-port", ready.pub_port});
  all.insert(all.end(), arguments.begin(), arguments.end());
  Program program(broker(all));
  const std::optional<std::string> line = program.line_with("csa-broker: ready");
  REQUIRE_MESSAGE(line, program.errors());
  ready = {after_word(*line, " port="), after_word(*line, "pub-port="),
           after_word(*line, "position=")};
  return program;
}

Program Place::live_node(const std::string& replica, const Words& arguments) const {
  Words all = {"run"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  Program program(node(replica, all));
  const bool live = program.line_with("state=live").has_value();
  REQUIRE_MESSAGE(live, program.errors());
  return program;
}

ClientOptions Place::client_options(const std::string& replica) const {
  ClientOptions options;
  options.replica = file(replica);
  options.group = group_;
  options.beacon_port = beacon_port_;
  options.beacon_interfaces = {"lo"};
  options.program = "system-test";
  return options;
}

std::unique_ptr<Client> Place::client(const std::string& replica) const {
  OpenedClient opened = Client::open(client_options(replica));
  REQUIRE_MESSAGE(opened.client, opened.failure.text);
  return std::move(opened.client);
}

nlohmann::json Place::exec(const std::string& replica, const std::string& sql) const {
  const Finished done = run(node(replica, {"exec", "--json", sql}));
  CAPTURE(done.err);
  CAPTURE(done.code);
  nlohmann::json answer = nlohmann::json::parse(done.out, nullptr, false);
  REQUIRE_MESSAGE(answer.is_object(), done.out);
  return answer;
}

nlohmann::json Place::ask_admin(const std::string& what) const {
  const Finished done = run(admin({what, "--json"}));
  REQUIRE_MESSAGE(done.code == 0, done.err);
  return nlohmann::json::parse(done.out);
}

std::string Place::difference_of(const std::string& replica, milliseconds timeout) const {
  std::string found = "nothing was compared";
  const auto equal = [&] {
    try {
      const Database left(master(), Database::Mode::kReadOnly);
      const Database right(file(replica), Database::Mode::kReadOnly);
      found = test::difference(left, right);
      if (!found.empty()) return false;
      found = right.query_text("PRAGMA integrity_check").value_or("");
      if (found == "ok") found.clear();
    } catch (const SqliteError& error) {
      found = error.what();
    }
    return found.empty();
  };
  (void)eventually(equal, timeout);
  return found;
}

bool is_root() { return ::geteuid() == 0; }

bool skipped_without_root() {
  if (is_root()) return false;
  MESSAGE("skipped: needs root");
  return true;
}

std::int64_t count_of(const std::string& database, const std::string& sql) {
  return Database(database, Database::Mode::kReadOnly).query_int(sql).value_or(-1);
}

void run_sql(const std::string& database, const std::string& sql) {
  Database(database, Database::Mode::kCreate).exec(sql);
}

}  // namespace csa::system_test
