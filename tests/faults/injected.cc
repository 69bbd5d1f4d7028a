#include "tests/faults/injected.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "common/sqlite.h"

namespace csa::fault_test {

bool can_inject() {
  static const bool can = [] {
    const Launch launch = injected({{"echo", "alive"}, {}, {}}, kill_at("write", 1));
    return system_test::run(launch).code == kKilled;
  }();
  if (!can) MESSAGE("skipped: strace is missing, or may not trace here");
  return can;
}

namespace {

Words strace(const std::string& rule) {
  const std::string call = rule.substr(0, rule.find(':'));
  return {"strace", "-f", "-qqq", "-o", "/dev/null", "-e", "trace=" + call, "-e", "inject=" + rule};
}

}  // namespace

Launch injected(Launch launch, const std::string& rule) {
  Words words = strace(rule);
  words.emplace_back("-D");  // the program is our child, not strace's
  words.insert(words.end(), launch.command.begin(), launch.command.end());
  launch.command = std::move(words);
  return launch;
}

Launch injected_broker(const Place& place, const Ready& ready, const std::string& rule) {
  return injected(place.broker({"serve", "--port", ready.port, "--pub-port", ready.pub_port}),
                  rule);
}

Program attach(const Program& program, const std::string& rule) {
  Words words = strace(rule);
  words.insert(words.end(), {"-p", std::to_string(program.pid())});
  return Program({std::move(words), {}, {}});
}

Program attach_stopped(const Program& program, const std::string& rule) {
  Program tracer = attach(program, rule);
  const auto is_traced = [&program] {
    const std::string tasks = "/proc/" + std::to_string(program.pid()) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks)) {
      std::ifstream status(task.path() / "status");
      for (std::string line; std::getline(status, line);) {
        if (line == "TracerPid:\t0") return false;
      }
    }
    return true;
  };
  REQUIRE(system_test::eventually(is_traced));
  return tracer;
}

std::string kill_at(const std::string& call, int n) {
  return call + ":signal=KILL:when=" + std::to_string(n);
}

void check_copies(const Place& place, const std::vector<std::string>& replicas) {
  CHECK(Database(place.master(), Database::Mode::kReadOnly).query_text("PRAGMA integrity_check") ==
        "ok");
  for (const std::string& replica : replicas) {
    CAPTURE(replica);
    CHECK(place.difference_of(replica) == "");
    CHECK(system_test::count_of(place.file(replica), "SELECT count(*) FROM csa_journal") == 0);
  }
}

void check_rejections(const system_test::Load& load) {
  for (const std::string& why : load.rejections()) {
    CHECK_MESSAGE(why.find("have just got other numbers") != std::string::npos, why);
  }
}

std::string epoch_of(const std::string& position) {
  REQUIRE(position.find(':') != std::string::npos);
  return position.substr(0, position.rfind(':'));
}

bool is_calm(Client& client) {
  return system_test::eventually(
      [&] {
        const ClientStatus status = client.status();
        return status.state == ClientState::kLive && status.pending == 0;
      },
      3 * system_test::kPatience);
}

}  // namespace csa::fault_test
