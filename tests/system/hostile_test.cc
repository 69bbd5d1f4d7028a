// What strangers, damaged files and wrong flags do: a clear sentence for the one concerned, and
// everybody else is served on.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "tests/system/load.h"
#include "tests/system/place.h"
#include "tests/system/stranger.h"

namespace csa::system_test::hostile_test {
namespace {

constexpr const char* kInsert = "INSERT INTO entry (writer, number) VALUES (1, 1)";

std::string noise(std::size_t size) {
  std::mt19937 random(static_cast<std::uint32_t>(size));
  std::string bytes;
  for (std::size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(random() & 0xffU));
  return bytes;
}

// A frame that says it is 1 TiB long.
std::string oversized_frame() { return std::string("\x02\0\0\x01\0\0\0\0\0", 9) + noise(50000); }

std::string frame(const std::string& body) {
  return std::string(1, '\0') + static_cast<char>(body.size()) + body;
}

// Noise instead of the pages from `first` on, `count` of them or to the end.
void overwrite_pages(const std::string& path, std::int64_t first, std::int64_t count) {
  constexpr std::int64_t kPage = 4096;
  const auto pages = static_cast<std::int64_t>(std::filesystem::file_size(path)) / kPage;
  const std::string bytes =
      noise(static_cast<std::size_t>(std::min(count, pages - first + 1) * kPage));
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp((first - 1) * kPage);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

TEST_CASE("strangers: noise, HTTP, idle connections and oversized frames disturb nobody") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  Program broker = place.serve(ready);
  Program quiet = place.live_node("quiet.db");
  const std::unique_ptr<Client> writer = place.client("writer.db");
  REQUIRE(writer->wait_for(ClientState::kLive, kPatience));
  Load load({writer.get()});
  std::vector<Stranger> crowd;
  for (const std::string& port : {ready.port, ready.pub_port}) {
    for (int i = 0; i < 200; ++i) crowd.emplace_back(port, "");
    crowd.emplace_back(port, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for (const std::size_t size : {1U, 11U, 64U, 4000U, 100000U})
      crowd.emplace_back(port, noise(size));
    for (const char* const type : {"DEALER", "SUB", "REQ", "ROUTER"}) {
      const std::string greeting = zmtp_greeting(type);
      crowd.emplace_back(port, greeting);
      crowd.emplace_back(port, greeting + oversized_frame());
      crowd.emplace_back(port, greeting + frame("") + frame(noise(100)) + frame(noise(3)));
    }
  }
  const int udp = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const sockaddr_in beacon = local(std::to_string(place.beacon_port()));
  for (std::size_t size = 0; size < 200; ++size) {
    const std::string bytes = noise(size * 7);
    (void)::sendto(udp, bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&beacon),
                   sizeof(beacon));
  }
  ::close(udp);
  CHECK(load.wait_for_more(50));
  // A new one finds its way in past them all.
  CHECK(place.exec("late.db", kInsert)["status"] == "committed");
  CHECK(place.ask_admin("nodes").size() == 2);
  crowd.clear();
  CHECK(load.wait_for_more(20));
  load.stop();
  load.check_account(place);
  CHECK(place.difference_of("quiet.db") == "");
  CHECK(place.difference_of("writer.db") == "");
  CHECK_FALSE(quiet.line(milliseconds{0}));
  broker.signal(SIGTERM);
  CHECK(broker.exit_code() == 0);
}

TEST_CASE("version: node of another application version is refused, both versions named") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready, {"--app-version", "2.5"});
  const Finished wrong = run(place.node("node.db", {"exec", "--app-version", "1.7", kInsert}));
  CHECK(wrong.code == 4);
  CHECK_MESSAGE(wrong.err.find("2.5") != std::string::npos, wrong.err);
  CHECK_MESSAGE(wrong.err.find("1.7") != std::string::npos, wrong.err);
  const Finished right = run(place.node("node.db", {"exec", "--app-version", "2.5", kInsert}));
  CHECK_MESSAGE(right.code == 0, right.err);
}

TEST_CASE("replica: one of another group or application is refused and stays as it was") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  CHECK(place.exec("node.db", kInsert)["status"] == "committed");
  for (const Words& flags : {Words{"--group", "elsewhere"}, Words{"--app", "else"}}) {
    Launch launch = place.node("node.db", {"run", "--discovery-timeout", "300ms"});
    launch.command.insert(launch.command.end(), flags.begin(), flags.end());
    const Finished wrong = run(launch);
    CHECK(wrong.code == 4);
    CHECK_MESSAGE(wrong.err.find(place.group()) != std::string::npos, wrong.err);
    CHECK_MESSAGE(wrong.err.find(flags[1]) != std::string::npos, wrong.err);
  }
  CHECK(place.exec("node.db", kInsert)["status"] == "committed");
  CHECK(place.difference_of("node.db") == "");
}

TEST_CASE("replica: a file that is no database is named with the way out and not touched") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  const std::string text = std::string(5000, 'n') + "o database";
  std::ofstream(place.file("node.db")) << text;
  const Finished wrong = run(place.node("node.db", {"run"}));
  CHECK(wrong.code == 7);
  CHECK_MESSAGE(wrong.err.find(place.file("node.db")) != std::string::npos, wrong.err);
  std::ifstream in(place.file("node.db"));
  CHECK(std::string((std::istreambuf_iterator<char>(in)), {}) == text);
  CHECK(place.exec("other.db", kInsert)["status"] == "committed");
}

TEST_CASE("replica: another program's change under the owner ends in a fresh copy") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  for (int i = 0; i < 3; ++i) CHECK(place.exec("node.db", kInsert)["status"] == "committed");
  const Program node = place.live_node("node.db");
  run_sql(place.file("node.db"), "UPDATE entry SET body = 'by hand' WHERE id = 2");
  CHECK(place.exec("other.db", "UPDATE entry SET number = 7")["status"] == "committed");
  CHECK(place.difference_of("node.db") == "");
}

TEST_CASE("replica: one damaged page ends in a fresh copy, a ruined file is named with a way out") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  for (int i = 0; i < 3; ++i) CHECK(place.exec("node.db", kInsert)["status"] == "committed");
  overwrite_pages(
      place.file("node.db"),
      count_of(place.file("node.db"), "SELECT rootpage FROM sqlite_schema WHERE name = 'entry'"),
      1);
  {
    Program node = place.live_node("node.db");
    CHECK(place.exec("other.db", "UPDATE entry SET number = 7")["status"] == "committed");
    CHECK(place.difference_of("node.db") == "");
    node.signal(SIGTERM);
    CHECK(node.exit_code() == 0);
  }
  overwrite_pages(place.file("node.db"), 2, 1000000);
  const Finished ruined = run(place.node("node.db", {"run"}));
  CHECK(ruined.code == 7);
  for (const Words& words : {Words{"journal"}, Words{"identity"}, Words{"identity", "--new"}}) {
    CHECK(run(place.node("node.db", words)).code == 7);
  }
  CHECK(run(place.node("none.db", {"identity", "--new"})).code == 3);
  CHECK(!std::filesystem::exists(place.file("none.db")));
  CHECK_MESSAGE(ruined.err.find("mv '" + place.file("node.db")) != std::string::npos, ruined.err);
  CHECK(place.exec("other.db", kInsert)["status"] == "committed");
}

TEST_CASE("replica: its own rows are damaged, refused, and what waits in it is listed as told") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  Program broker = place.serve(ready);
  CHECK(place.exec("node.db", kInsert)["status"] == "committed");
  broker.kill();
  CHECK(place.exec("node.db", kInsert)["status"] == "journaled");
  run_sql(place.file("node.db"), "UPDATE csa_private SET value = 'x' WHERE key = 'clock'");
  const Finished refused = run(place.node("node.db", {"run"}));
  CHECK(refused.code == 7);
  CHECK_MESSAGE(refused.err.find("1 offline change waits") != std::string::npos, refused.err);
  const Finished waiting = run(place.node("node.db", {"journal"}));
  CHECK_MESSAGE(waiting.code == 0, waiting.err);
  CHECK_MESSAGE(waiting.out.find("entry") != std::string::npos, waiting.out);
  CHECK(run(place.node("node.db", {"journal", "--outcomes"})).code == 7);
}

}  // namespace csa::system_test::hostile_test
