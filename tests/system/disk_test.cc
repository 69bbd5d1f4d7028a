// Disks that are full or cannot be written: small file systems in memory, made and taken away by
// the test.
#include <doctest/doctest.h>
#include <sys/mount.h>

#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "tests/system/load.h"
#include "tests/system/place.h"

namespace csa::system_test::disk_test {
namespace {

class SmallDisk {
 public:
  SmallDisk(std::string path, const std::string& size) : path_(std::move(path)) {
    std::filesystem::create_directory(path_);
    const std::string options = "mode=0700,size=" + size;
    REQUIRE(::mount("tmpfs", path_.c_str(), "tmpfs", 0, options.c_str()) == 0);
  }
  ~SmallDisk() { ::umount2(path_.c_str(), MNT_DETACH); }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  // No byte is left.
  void fill() const {
    std::ofstream ballast(path_ + "/ballast", std::ios::binary);
    const std::string piece(4096, 'x');
    while (ballast.write(piece.data(), static_cast<std::streamsize>(piece.size())).flush()) {
    }
  }
  void make_space() const { std::filesystem::remove(path_ + "/ballast"); }
  // REQUIRES: no file is open for writing.
  void make_read_only() const {
    REQUIRE(::mount(nullptr, path_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0);
  }

 private:
  std::string path_;
};

constexpr const char* kBig =
    "INSERT INTO entry (writer, number, body) VALUES (7, 0, hex(randomblob(100000)))";
constexpr const char* kSmall = "INSERT INTO entry (writer, number, body) VALUES (8, 0, 'small')";

// A node on a small disk; the broker has room.
struct NodeOnSmallDisk {
  Place place;
  SmallDisk disk{place.file("disk"), "24m"};
  Ready ready;
  std::optional<Program> broker;
  std::optional<Program> node;

  NodeOnSmallDisk() {
    place.create(kLoadSchema);
    broker.emplace(place.serve(ready));
    node.emplace(place.live_node("disk/node.db"));
  }
  [[nodiscard]] std::unique_ptr<Client> other_node() const {
    std::unique_ptr<Client> other = place.client("other.db");
    REQUIRE(other->wait_for(ClientState::kLive, kPatience));
    return other;
  }
  [[nodiscard]] bool says(const std::string& words) const {
    return node->errors().find(words) != std::string::npos;
  }
  void end() {
    node->signal(SIGTERM);
    CHECK(node->exit_code() == 0);
  }
};

}  // namespace

TEST_CASE("disk: broker's is full, writes are refused in words, reads and status go on, then all") {
  if (skipped_without_root()) return;
  Place place;
  const SmallDisk disk(place.file("disk"), "24m");
  place.set_master(place.file("disk/master.db"));
  place.create(kLoadSchema);
  Ready ready;
  Program broker = place.serve(ready);
  const std::unique_ptr<Client> one = place.client("one.db");
  const std::unique_ptr<Client> two = place.client("two.db");
  REQUIRE(one->wait_for(ClientState::kLive, kPatience));
  REQUIRE(two->wait_for(ClientState::kLive, kPatience));
  Load load({one.get(), two.get()});
  REQUIRE(load.wait_for_more(50));
  disk.fill();
  // What lies in the log's space already may still be written over.
  CHECK(eventually([&] {
    const WriteResult big = one->exec(kBig);
    return big.status == WriteResult::Status::kRejected &&
           big.message.find("disk is full") != std::string::npos;
  }));
  CHECK(place.ask_admin("status")["nodes"] == 2);
  CHECK(one->status().state == ClientState::kLive);
  CHECK(one->open_reader().db);
  disk.make_space();
  CHECK(load.wait_for_more(50));
  CHECK(one->exec(kBig).status == WriteResult::Status::kCommitted);
  load.stop();
  load.check_account(place);
  CHECK(place.difference_of("one.db") == "");
  CHECK(place.difference_of("two.db") == "");
  broker.signal(SIGTERM);
  CHECK(broker.exit_code() == 0);
}

TEST_CASE("disk: node's is full, it says so, others go on, with space it is equal again") {
  if (skipped_without_root()) return;
  NodeOnSmallDisk full;
  const std::unique_ptr<Client> other = full.other_node();
  full.disk.fill();
  const auto said_so = [&] {
    return full.says("cannot be written") && full.says(full.place.file("disk/node.db"));
  };
  for (int i = 0; i < 100 && !said_so(); ++i) {
    CHECK(other->exec(kBig).status == WriteResult::Status::kCommitted);
  }
  CHECK(eventually(said_so));
  CHECK(full.place.difference_of("other.db") == "");
  full.disk.make_space();
  // It notices by itself.
  CHECK(full.place.difference_of("disk/node.db", milliseconds{20000}) == "");
  full.end();
}

TEST_CASE("disk: node's is full on its way back, it is read and answers at once, nothing is lost") {
  if (skipped_without_root()) return;
  NodeOnSmallDisk full;
  const Place& place = full.place;
  full.broker->signal(SIGTERM);
  CHECK(full.broker->exit_code() == 0);
  REQUIRE(full.node->line_with("state=standalone"));
  CHECK(place.exec("disk/node.db", kSmall)["status"] == "journaled");
  CHECK(place.exec("disk/node.db", kSmall)["status"] == "journaled");
  full.disk.fill();
  full.broker.emplace(place.serve(full.ready));
  REQUIRE(full.node->line_with("state=replaying"));
  const std::unique_ptr<Client> other = full.other_node();
  CHECK(other->exec(kBig).status == WriteResult::Status::kCommitted);
  REQUIRE(eventually([&] { return full.says("its disk is full"); }));
  Launch ask = place.node("disk/node.db", {"status"});
  const Finished status = run(ask);
  CHECK(status.code == 0);
  CHECK_MESSAGE(status.out.find("its disk is full") != std::string::npos, status.out);
  CHECK(status.out.find(place.file("disk/node.db")) != std::string::npos);
  CHECK(status.out.find("2 offline changes wait") != std::string::npos);
  ask = place.node("disk/node.db", {"query", "SELECT count(*) FROM entry WHERE writer = 8"});
  CHECK(run(ask).out.find('2') != std::string::npos);
  const nlohmann::json refused = place.exec("disk/node.db", kSmall);
  CHECK(refused["status"] == "rejected");
  CHECK(refused["code"] == "limit");
  full.disk.make_space();
  CHECK(place.difference_of("disk/node.db", milliseconds{20000}) == "");
  CHECK(eventually([&] { return place.exec("disk/node.db", kSmall)["status"] == "committed"; }));
  CHECK(count_of(place.master(), "SELECT count(*) FROM entry WHERE writer = 8") == 3);
  CHECK(place.difference_of("disk/node.db") == "");
  CHECK(place.difference_of("other.db") == "");
  full.end();
}

TEST_CASE("disk: node's is full behind the master, status, query and exec answer at once") {
  if (skipped_without_root()) return;
  NodeOnSmallDisk full;
  const Place& place = full.place;
  const std::unique_ptr<Client> other = full.other_node();
  full.disk.fill();
  for (int i = 0; i < 100 && !full.says("its disk is full"); ++i) {
    CHECK(other->exec(kBig).status == WriteResult::Status::kCommitted);
  }
  REQUIRE(eventually([&] { return full.says("its disk is full"); }));
  CHECK(run(place.node("disk/node.db", {"status"})).out.find("full") != std::string::npos);
  CHECK(run(place.node("disk/node.db", {"query", "SELECT 41 + 1"})).out.find("42") !=
        std::string::npos);
  CHECK(place.exec("disk/node.db", kSmall)["code"] == "limit");
  full.disk.make_space();
  CHECK(place.difference_of("disk/node.db", milliseconds{20000}) == "");
  full.end();
}

TEST_CASE("disk: broker's is full during a replay, the node is told and keeps its journal") {
  if (skipped_without_root()) return;
  Place place;
  const SmallDisk disk(place.file("disk"), "24m");
  place.set_master(place.file("disk/master.db"));
  place.create(kLoadSchema);
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  CHECK(place.exec("back.db", kSmall)["status"] == "committed");
  broker->signal(SIGTERM);
  CHECK(broker->exit_code() == 0);
  CHECK(place.exec("back.db", kBig)["status"] == "journaled");
  CHECK(place.exec("back.db", kSmall)["status"] == "journaled");
  broker.emplace(place.serve(ready));
  const std::unique_ptr<Client> other = place.client("other.db");
  REQUIRE(other->wait_for(ClientState::kLive, kPatience));
  disk.fill();
  Program back(place.node("back.db", {"run"}));
  REQUIRE(back.line_with("state=replaying"));
  REQUIRE(eventually([&] { return back.errors().find("disk is full") != std::string::npos; }));
  const Finished status = run(place.node("back.db", {"status"}));
  CHECK_MESSAGE(status.out.find("the broker's disk is full") != std::string::npos, status.out);
  CHECK(status.out.find("2 changes not yet handed over") != std::string::npos);
  CHECK(run(place.node("back.db", {"query", "SELECT 41 + 1"})).out.find("42") != std::string::npos);
  CHECK(other->open_reader().db);
  CHECK(other->status().state == ClientState::kLive);
  CHECK(place.ask_admin("status")["nodes"] == 2);
  disk.make_space();
  CHECK(back.line_with("state=live"));
  CHECK(place.difference_of("back.db") == "");
  CHECK(place.difference_of("other.db") == "");
  CHECK(count_of(place.master(), "SELECT count(*) FROM entry") == 3);
  back.signal(SIGTERM);
  CHECK(back.exit_code() == 0);
}

TEST_CASE("disk: full under create, it says what to do, and create works once there is space") {
  if (skipped_without_root()) return;
  Place place;
  const SmallDisk disk(place.file("disk"), "1m");
  place.set_master(place.file("disk/master.db"));
  std::ofstream(place.file("schema.sql")) << kLoadSchema;
  const Launch create = place.broker({"create", "--schema", place.file("schema.sql")});
  disk.fill();
  const Finished refused = run(create);
  CHECK(refused.code == 1);
  CHECK_MESSAGE(refused.err.find("free some, then try again") != std::string::npos, refused.err);
  CHECK(!std::filesystem::exists(place.master()));
  disk.make_space();
  const Finished made = run(create);
  CHECK_MESSAGE(made.code == 0, made.err);
}

TEST_CASE("disk: read-only at broker or node is said at the start, with the file's name") {
  if (skipped_without_root()) return;
  Place place;
  const SmallDisk disk(place.file("disk"), "24m");
  place.create(kLoadSchema);
  std::filesystem::copy_file(place.master(), place.file("disk/master.db"));
  Ready ready;
  const Program broker = place.serve(ready);
  CHECK(place.exec("disk/node.db", kBig)["status"] == "committed");
  disk.make_read_only();
  Launch second = place.broker({"serve", "--port", "0"});
  second.environment["CSA_DB"] = place.file("disk/master.db");
  const Finished refused = run(second);
  CHECK(refused.code == 1);
  CHECK_MESSAGE(refused.err.find(place.file("disk/master.db")) != std::string::npos, refused.err);
  CHECK_MESSAGE(refused.err.find("read-only") != std::string::npos, refused.err);
  const Finished node = run(place.node("disk/node.db", {"run"}));
  CHECK(node.code == 1);
  CHECK_MESSAGE(node.err.find("Read-only") != std::string::npos, node.err);
  CHECK_MESSAGE(node.err.find(place.file("disk/")) != std::string::npos, node.err);
}

}  // namespace csa::system_test::disk_test
