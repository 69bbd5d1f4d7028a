// Many at once: nodes that join, and TCP peers that are no csa programs. The broker's memory, files
// and spool stay within their bounds, and nobody else notices.
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <random>
#include <thread>

#include "common/limits.h"
#include "common/system_clock.h"
#include "tests/shown/measure.h"
#include "tests/system/stranger.h"

namespace csa::shown_test::crowd_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using system_test::Place;
using system_test::Program;
using system_test::Ready;
using system_test::Stranger;

constexpr std::uint64_t kMemoryMax = 200U << 20U;
constexpr std::uint64_t kWalMax = 80U << 20U;
constexpr std::size_t kJoining = 20;
constexpr std::size_t kFilesEach = 4;  // two connections of a node, and those that ask it first
constexpr std::size_t kIdle = 1000;
constexpr std::size_t kGarbage = 1000;

// 1,024 rows of 64 KiB, 64 MiB.
constexpr const char* kDatabase =
    "CREATE TABLE big (id INTEGER PRIMARY KEY, body BLOB NOT NULL);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1024)"
    " INSERT INTO big SELECT i, randomblob(65536) FROM n;";

double seconds_since(TimePoint start) {
  return std::chrono::duration<double>(monotonic_now() - start).count();
}

std::size_t files_in(const std::string& folder, const std::string& ending = {}) {
  std::size_t count = 0;
  std::error_code gone;
  for (const auto& file : std::filesystem::directory_iterator(folder, gone)) {
    if (file.path().string().ends_with(ending)) ++count;
  }
  return count;
}

std::size_t open_files(const Program& program) {
  return files_in("/proc/" + std::to_string(program.pid()) + "/fd");
}

std::string noise(std::mt19937& random, std::size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random() & 0xffU);
  return bytes;
}

// A ZeroMQ frame of more than 255 bytes.
std::string long_frame(const std::string& body) {
  std::string head("\x02\0\0\0\0", 5);
  for (int shift = 24; shift >= 0; shift -= 8)
    head += static_cast<char>((body.size() >> static_cast<unsigned>(shift)) & 0xffU);
  return head + body;
}

// So many connections that say garbage, each once it is let in; who is cut comes again. A thread.
class Garbage {
 public:
  Garbage(system_test::Words ports, std::size_t count) : ports_(std::move(ports)) {
    thread_ = std::thread([this, count] { run(count); });
  }
  ~Garbage() {
    stop_ = true;
    thread_.join();
  }
  Garbage(const Garbage&) = delete;
  Garbage& operator=(const Garbage&) = delete;
  [[nodiscard]] std::uint64_t connections() const { return connections_; }

 private:
  void run(std::size_t count) {
    std::mt19937 random(7);
    std::vector<std::string> words;
    for (const std::size_t size : {1U, 64U, 4000U, 100000U}) words.push_back(noise(random, size));
    words.emplace_back("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for (const char* const type : {"DEALER", "SUB"}) {
      const std::string greeting = system_test::zmtp_greeting(type);
      words.push_back(greeting + long_frame(noise(random, 2000)));
      words.push_back(greeting + long_frame(noise(random, 200'000)));
      words.push_back(greeting + std::string("\x02\0\0\x01\0\0\0\0\0", 9) + noise(random, 5000));
    }
    std::vector<std::optional<Stranger>> crowd(count);
    for (std::size_t next = 0; !stop_; next = (next + 1) % count) {
      crowd[next].reset();
      crowd[next].emplace(ports_[random() % ports_.size()], words[random() % words.size()]);
      ++connections_;
      if (next % 20 == 0) system_test::breathe();
    }
  }

  const system_test::Words ports_;
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> connections_{0};
  std::thread thread_;
};

void raise_files() {
  rlimit files{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &files) == 0);
  files.rlim_cur = files.rlim_max;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &files) == 0);
  REQUIRE(files.rlim_cur > kIdle + kGarbage + 200);
}

Asker::Samples samples_of(Asker& asker, milliseconds time) {
  (void)asker.take();
  const auto end = system_test::after(time);
  while (!system_test::is_past(end)) system_test::breathe();
  return asker.take();
}

}  // namespace

TEST_CASE("shown: joining: twenty nodes take their copy at once, out of a shared spool") {
  const Place place;
  system_test::run_sql(place.master(), kDatabase);
  const system_test::Finished adopted = system_test::run(place.broker({"adopt"}), seconds{120});
  REQUIRE_MESSAGE(adopted.code == 0, adopted.err);
  Ready ready;
  const Program broker = place.serve(ready);
  TimePoint start = monotonic_now();
  { const Program alone = place.live_node("alone.db"); }
  const double one = seconds_since(start);
  const std::size_t files_before = open_files(broker);
  std::size_t files = 0;
  Asker asker(place, ready);
  start = monotonic_now();
  std::vector<Program> nodes;
  for (std::size_t i = 0; i < kJoining; ++i) {
    nodes.emplace_back(place.node("node-" + std::to_string(i) + ".db", {"run"}));
  }
  std::size_t spools = 0;
  std::uint64_t most = 0;
  for (Program& node : nodes) {
    std::optional<std::string> line;
    const auto end = system_test::after(seconds{120});
    while (!line && !system_test::is_past(end)) {
      line = node.line_with("state=live", milliseconds{20});
      spools = std::max(spools, files_in(place.folder(), ".csa-spool"));
      files = std::max(files, open_files(broker));
    }
    REQUIRE(line.has_value());
    most = std::max(most, peak_memory_of(node.pid()));
  }
  const double all = seconds_since(start);
  const Asker::Samples samples = asker.take();
  const std::uint64_t peak = peak_memory_of(broker.pid());
  const std::uint64_t wal = std::filesystem::file_size(place.master() + "-wal");
  show("joining: 20 nodes with a copy of " +
       std::to_string(std::filesystem::file_size(place.master()) >> 20U) + " MiB after " +
       decimal(all) + " s (one alone: " + decimal(one) + " s), " + std::to_string(spools) +
       " spools; peak memory: broker " + std::to_string(peak >> 20U) + " MiB, a node " +
       std::to_string(most >> 20U) + " MiB; broker's open files " + std::to_string(files) + " (" +
       std::to_string(files_before) + " before), its -wal " + std::to_string(wal >> 20U) +
       " MiB; heartbeat answered after " + to_string(figures_of(samples.ping_ms)));
  CHECK(spools <= limits::kSnapshotsMax);
  CHECK(peak < kMemoryMax);
  CHECK(most < kMemoryMax);
  CHECK(files <= files_before + kFilesEach * kJoining);
  CHECK(wal <= kWalMax);
  CHECK(samples.lost == 0);
  for (std::size_t i = 0; i < kJoining; ++i) {
    CAPTURE(i);
    CHECK(place.difference_of("node-" + std::to_string(i) + ".db") == "");
  }
}

TEST_CASE("shown: crowd: a thousand idle and a thousand garbage peers, the others are served") {
  raise_files();
  const Place place;
  place.create("CREATE TABLE note (n INTEGER);");
  Ready ready;
  Program broker = place.serve(ready);
  const std::unique_ptr<Client> node = place.client("node.db");
  REQUIRE(node->wait_for(ClientState::kLive, seconds{20}));
  Asker asker(place, ready);
  const std::size_t files_before = open_files(broker);
  const auto writes = [&](int count) {
    std::vector<double> took;
    for (int i = 0; i < count; ++i) {
      const TimePoint start = monotonic_now();
      REQUIRE(node->exec("INSERT INTO note VALUES (1)").status == WriteResult::Status::kCommitted);
      took.push_back(1000 * seconds_since(start));
    }
    return figures_of(took);
  };
  const Asker::Samples quiet = samples_of(asker, seconds{5});
  const Figures quiet_writes = writes(300);

  std::vector<Stranger> idle;
  for (std::size_t i = 0; i < kIdle; ++i) {
    idle.emplace_back(i % 2 == 0 ? ready.port : ready.pub_port,
                      i % 4 < 2 ? std::string() : system_test::zmtp_greeting("DEALER"));
  }
  std::size_t files = 0;
  Asker::Samples loud;
  Figures loud_writes;
  std::uint64_t connections = 0;
  {
    const Garbage garbage({ready.port, ready.pub_port}, kGarbage);
    REQUIRE(system_test::eventually([&] { return garbage.connections() > kGarbage; }));
    loud = samples_of(asker, seconds{15});
    files = open_files(broker);
    loud_writes = writes(300);
    CHECK(place.exec("late.db", "INSERT INTO note VALUES (2)")["status"] == "committed");
    connections = garbage.connections();
  }
  idle.clear();
  const std::uint64_t peak = peak_memory_of(broker.pid());
  show("crowd: heartbeat " + to_string(figures_of(quiet.ping_ms)) + " quiet, " +
       to_string(figures_of(loud.ping_ms)) + " with the crowd");
  show("crowd: write " + to_string(quiet_writes) + " quiet, " + to_string(loud_writes) +
       " with the crowd");
  show("crowd: " + std::to_string(connections) + " garbage connections; the broker had at most " +
       std::to_string(peak >> 20U) + " MiB, and " + std::to_string(files) + " files open (" +
       std::to_string(files_before) + " before)");
  CHECK(peak < kMemoryMax);
  // Who says nothing, or nonsense, is sent away while others come.
  CHECK(files <= files_before + kIdle);
  CHECK(figures_of(loud.ping_ms).p99 < 1000);
  CHECK(loud.lost == 0);
  CHECK(system_test::eventually([&] { return open_files(broker) <= files_before + 5; }));
}

}  // namespace csa::shown_test::crowd_test
