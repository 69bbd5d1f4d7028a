#include "tests/system/lan.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>
#include <sstream>

namespace csa::system_test {
namespace {

const std::string kMark = "csatest-";

void ip(const std::vector<std::string>& words) {
  Launch launch{{"ip"}, {}, {}};
  launch.command.insert(launch.command.end(), words.begin(), words.end());
  const Finished done = run(launch);
  std::string line;
  for (const std::string& word : words) line += " " + word;
  REQUIRE_MESSAGE(done.code == 0, "ip" << line << ": " << done.err);
}

void remove(const std::string& name) { (void)run({{"ip", "netns", "del", name}, {}, {}}); }

// What tests left that are no more.
void sweep() {
  std::istringstream lines(run({{"ip", "netns", "list"}, {}, {}}).out);
  for (std::string line; std::getline(lines, line);) {
    const std::string name = line.substr(0, line.find(' '));
    if (name.rfind(kMark, 0) != 0) continue;
    const pid_t owner = static_cast<pid_t>(std::atoi(name.c_str() + kMark.size()));
    if (owner > 0 && ::kill(owner, 0) != 0) remove(name);
  }
}

}  // namespace

Lans::Lans() : prefix_(kMark + std::to_string(::getpid()) + "-") { sweep(); }

Lans::~Lans() {
  for (const std::string& name : names_) remove(full(name));
}

void Lans::add(const std::string& name) {
  names_.push_back(name);
  ip({"netns", "add", full(name)});
  ip({"-n", full(name), "link", "set", "lo", "up"});
}

void Lans::add_computer(const std::string& name) { add(name); }

void Lans::add_lan(const std::string& lan) {
  add(lan);
  ip({"-n", full(lan), "link", "add", "bridge", "type", "bridge"});
  ip({"-n", full(lan), "link", "set", "bridge", "up"});
}

void Lans::plug(const std::string& computer, const std::string& lan, const std::string& address) {
  const std::string card = lan + "0";
  const std::string socket = "port" + std::to_string(++cards_);
  ip({"-n", full(lan), "link", "add", socket, "type", "veth", "peer", "name", card, "netns",
      full(computer)});
  ip({"-n", full(lan), "link", "set", socket, "master", "bridge", "up"});
  ip({"-n", full(computer), "address", "add", address, "broadcast", "+", "dev", card});
  ip({"-n", full(computer), "link", "set", card, "up"});
}

void Lans::readdress(const std::string& computer, const std::string& lan,
                     const std::string& address) {
  const std::string card = lan + "0";
  ip({"-n", full(computer), "address", "flush", "dev", card});
  ip({"-n", full(computer), "address", "add", address, "broadcast", "+", "dev", card});
}

Launch Lans::on(const std::string& computer, Launch launch) const {
  std::vector<std::string> words = {"ip", "netns", "exec", full(computer)};
  words.insert(words.end(), launch.command.begin(), launch.command.end());
  launch.command = std::move(words);
  for (const char* const name : {"CSA_BEACON_IF", "CSA_GROUP", "CSA_BEACON_PORT"}) {
    launch.environment[name] = {};
  }
  return launch;
}

}  // namespace csa::system_test
