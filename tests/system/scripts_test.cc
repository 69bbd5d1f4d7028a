// What scripts rely on: a line for every call, an exit code for every failure, output that can be
// read again; and what a person's terminal must not be told.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/system/place.h"

namespace csa::system_test::scripts_test {
namespace {

using nlohmann::json;

Finished admin(const Place& place, const Words& words) { return run(place.admin(words)); }

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The same program with a disk behind its output that is full.
Finished on_full_disk(Launch launch) {
  launch.command.insert(launch.command.begin(),
                        {"/bin/sh", "-c", "exec \"$0\" \"$@\" > /dev/full"});
  return run(launch);
}

}  // namespace

TEST_CASE("shell: from a pipe every call is answered by one line, also one that does nothing") {
  const Place place;
  place.create("CREATE TABLE part (id INTEGER PRIMARY KEY, qty INTEGER)");
  Ready ready;
  const Program broker = place.serve(ready);
  Launch launch = place.node("a.db", {"shell", "--json"});
  launch.input =
      "INSERT INTO part VALUES (1, 10), (2, 20);\n"
      "SELECT * FROM part;\n"
      "BEGIN; DELETE FROM part; ROLLBACK;\n"
      "BEGIN; COMMIT;\n"
      "SELECT abs(-9223372036854775807 - id) FROM part;\n"
      "BEGIN; DELETE FROM part;\n";
  const Finished done = run(launch);
  const std::vector<std::string> lines = lines_of(done.out);
  REQUIRE_MESSAGE(lines.size() == 6, done.out);
  CHECK(json::parse(lines[0])["status"] == "committed");
  CHECK(json::parse(lines[1]).size() == 2);
  CHECK(json::parse(lines[2])["status"] == "rolled-back");
  CHECK(json::parse(lines[3])["status"] == "committed");
  CHECK(json::parse(lines[4])["status"] == "rejected");
  CHECK(json::parse(lines[5])["status"] == "rejected");
  CHECK(done.code == 5);
  CHECK(count_of(place.master(), "SELECT count(*) FROM part") == 2);
}

TEST_CASE("scripts: results that a full disk does not take are exit 1 and a sentence") {
  const Place place;
  place.create("CREATE TABLE part (id INTEGER PRIMARY KEY); INSERT INTO part VALUES (1)");
  Ready ready;
  const Program broker = place.serve(ready);
  REQUIRE(place.exec("a.db", "INSERT INTO part VALUES (2)")["status"] == "committed");
  Launch sub = place.admin({"--since", "start", "--until", "1"});
  sub.command[0] = CSA_SUB_PROGRAM;
  for (const Launch& launch :
       {place.admin({"conflicts"}), place.admin({"status"}), place.node("a.db", {"status"}),
        place.node("a.db", {"query", "SELECT * FROM part"}),
        place.node("a.db", {"journal", "--json"}), sub}) {
    CAPTURE(launch.command);
    const Finished done = on_full_disk(launch);
    CHECK(done.code == 1);
    CHECK_MESSAGE(done.err.find("output") != std::string::npos, done.err);
  }
}

TEST_CASE("scripts: a directory for a file is a sentence that names it, nothing is made of it") {
  const Place place;
  const Finished created = run(place.broker({"create", "--schema", place.folder()}));
  CHECK(created.code == 1);
  CHECK(created.err.find(place.folder() + ": Is a directory") != std::string::npos);
  CHECK(!std::filesystem::exists(place.master()));
  place.create("CREATE TABLE part (id INTEGER PRIMARY KEY)");
  Ready ready;
  const Program broker = place.serve(ready);
  for (const Words& words :
       {Words{"migrate", place.folder()}, Words{"rule", "load", place.folder()}}) {
    const Finished done = admin(place, words);
    CHECK(done.code == 2);
    CHECK(done.err.find(place.folder() + ": Is a directory") != std::string::npos);
  }
  CHECK(run(place.node("a.db", {"exec", "--file", place.folder()})).code == 2);
}

TEST_CASE("csa-admin rule: what list prints load takes, what the broker refuses has its line") {
  const Place place;
  place.create(
      "CREATE TABLE \"my table\" (id INTEGER PRIMARY KEY, \"c.d\" TEXT);"
      "CREATE TABLE part (id INTEGER PRIMARY KEY, qty INTEGER)");
  Ready ready;
  const Program broker = place.serve(ready);
  CHECK(admin(place, {"rule", "set", "\"my table\".\"c.d\"", "append"}).code == 0);
  CHECK(admin(place, {"rule", "set", "part", "merge"}).code == 0);
  const Finished list = admin(place, {"rule", "list"});
  std::ofstream(place.file("again")) << "\xEF\xBB\xBF" << list.out;
  const Finished again = admin(place, {"rule", "load", place.file("again")});
  CHECK_MESSAGE(again.code == 0, again.err);
  CHECK(again.out == list.out);
  std::ofstream(place.file("wrong")) << "# stock\npart newest\n\npart.price sum\n";
  const Finished wrong = admin(place, {"rule", "load", place.file("wrong")});
  CHECK(wrong.code == 5);
  CHECK_MESSAGE(wrong.err.find(place.file("wrong") + ", line 4: ") != std::string::npos, wrong.err);
}

TEST_CASE("help: every command of csa-node and csa-admin has an example") {
  const Place place;
  for (const char* const command :
       {"run", "exec", "query", "shell", "status", "outcome", "journal", "identity", "discover"}) {
    CHECK(run(place.node("", {command, "--help"})).out.find("Example: csa-node ") !=
          std::string::npos);
  }
  for (const Words& words :
       {Words{"status"}, Words{"nodes"}, Words{"stop"}, Words{"migrate"}, Words{"backup"},
        Words{"rule"}, Words{"rule", "set"}, Words{"rule", "load"}, Words{"rule", "list"},
        Words{"conflicts"}, Words{"conflicts", "show"}, Words{"recover"},
        Words{"recover", "apply"}}) {
    Words all = words;
    all.emplace_back("--help");
    CHECK(admin(place, all).out.find("Example: csa-admin ") != std::string::npos);
  }
}

TEST_CASE("run: neither broker nor copy, it waits and says so, and that nothing is kept") {
  const Place place;
  place.create("CREATE TABLE part (id INTEGER PRIMARY KEY)");
  Program node(place.node("a.db", {"run", "--discovery-timeout", "100ms"}));
  REQUIRE(node.line_with("state=standalone"));
  CHECK(eventually([&] { return node.errors().find("NO COPY YET") != std::string::npos; }));
  CHECK(node.errors().find("kept") == std::string::npos);
  const Finished shell = run(place.node("b.db", {"shell", "--discovery-timeout", "100ms"}));
  CHECK(shell.code == 3);
  CHECK(shell.err.find("kept") == std::string::npos);
  Ready ready;
  const Program broker = place.serve(ready);
  CHECK(node.line_with("state=live"));
}

TEST_CASE("csa-admin conflicts: three versions with their types, and no word to the terminal") {
  Place place;
  place.create(
      "CREATE TABLE part (id INTEGER PRIMARY KEY, a, b, c);"
      "INSERT INTO part VALUES (1, 1, NULL, 'same')");
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  REQUIRE(place.client("a.db")->wait_for(ClientState::kLive, kPatience));
  broker->kill();
  broker.reset();
  const Finished offline =
      run(place.node("a.db", {"exec", "--json", "--discovery-timeout", "100ms",
                              "UPDATE part SET a = 1, b = 'NULL', c = 'x' || char(0, 27, 127) ||"
                              " '[2J' WHERE id = 1"}));
  REQUIRE_MESSAGE(offline.code == 0, offline.err);
  CHECK(run(place.node("a.db", {"journal"})).out.find("b: NULL → NULL") != std::string::npos);
  broker.emplace(place.serve(ready));
  REQUIRE(place.exec("b.db", "UPDATE part SET a = '1', c = 'other'")["status"] == "committed");
  const std::unique_ptr<Client> client = place.client("a.db");
  REQUIRE(eventually([&] { return client->status().pending == 0; }));
  const Finished shown = admin(place, {"conflicts", "show", "1"});
  REQUIRE_MESSAGE(shown.code == 0, shown.err);
  CHECK(shown.out.find('\x1b') == std::string::npos);
  CHECK(shown.out.find("'x\\x00\\x1b\\x7f[2J'") != std::string::npos);
  CHECK(shown.out.find("* a") != std::string::npos);
  CHECK(shown.out.find("  id") != std::string::npos);
  CHECK(shown.out.find("'NULL'") != std::string::npos);
}

}  // namespace csa::system_test::scripts_test
