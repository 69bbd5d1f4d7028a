// A client whose application asks for more than its thread takes up: what comes from elsewhere
// finds its place behind it.
#include <doctest/doctest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>

#include "common/limits.h"
#include "common/sqlite.h"
#include "node/client.h"
#include "tests/support/replica_steps.h"
#include "tests/support/scratch_folder.h"
#include "tests/threads/served.h"

namespace csa::threads_test::flood_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Status = WriteResult::Status;

constexpr const char* kInsert = "INSERT INTO entry (number) VALUES (?)";
constexpr seconds kPatience{60};

// A replica with a copy of `master`, in which nobody can be reached.
std::string alone(const ScratchFolder& folder) {
  HandMaster master(folder.path(), "CREATE TABLE entry (id INTEGER PRIMARY KEY, number INTEGER)");
  std::string path = folder.file("node.db");
  REQUIRE(take_copy(*open_replica(path), master.copy()).has_value());
  return path;
}

std::unique_ptr<Client> open(const std::string& path) {
  ClientOptions options;
  options.replica = path;
  options.app = "csa";
  options.group = "shop";
  options.brokers = {"127.0.0.1:9"};
  options.discovery_timeout = milliseconds{200};
  OpenedClient opened = Client::open(std::move(options));
  REQUIRE_MESSAGE(opened.client, opened.failure.text);
  REQUIRE(opened.client->wait_for(ClientState::kStandalone, kPatience));
  return std::move(opened.client);
}

// Holds the client's thread in the answer to a write that is too long, until it is opened.
class Held {
 public:
  explicit Held(Client& client) {
    client.exec_async(std::string(limits::kWriteMax + 1, ' '), {}, {}, [this](WriteResult result) {
      CHECK(result.code == "limit");
      reached_ = true;
      opened_.get_future().wait();
      over_ = true;
    });
  }
  void reach() const {
    CHECK(eventually([&] { return reached_.load(); }));
  }
  ~Held() {
    opened_.set_value();
    CHECK(eventually([&] { return over_.load(); }));
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  std::promise<void> opened_;
  std::atomic<bool> reached_{false};
  std::atomic<bool> over_{false};
};

// Calls that are over as soon as they are looked at, until no more are taken. REQUIRES: it is held.
void fill(Client& client, std::atomic<std::size_t>& answers) {
  WriteOptions options;
  options.timeout = milliseconds{0};
  std::size_t asked = 0;
  while (answers == 0 && asked <= 2 * limits::kNodeTasksMax) {
    client.exec_async(kInsert, {-1}, options, [&answers](WriteResult) { ++answers; });
    ++asked;
  }
  CHECK(answers == 1);
}

std::int64_t count_in(const std::string& path, std::int64_t number) {
  const Database db(path, Database::Mode::kReadOnly);
  Statement count = db.prepare("SELECT count(*) FROM entry WHERE number = ?1");
  REQUIRE(count.bind(1, number).step());
  return count.column_int(0);
}

void leave_flooded(Client& client) {
  std::atomic<std::size_t> answers{0};
  std::future<ClientStatus> status;
  std::future<void> left;
  {
    const Held held(client);
    held.reach();
    fill(client, answers);
    status = std::async(std::launch::async, [&] { return client.status(); });
    for (int i = 0; i < 20; ++i) breathe();
    left = std::async(std::launch::async, [&] { client.leave(); });
    for (int i = 0; i < 20; ++i) breathe();
  }
  CHECK(status.get().state == ClientState::kStandalone);
  left.get();
  CHECK(answers > limits::kNodeTasksMax);
}

}  // namespace

TEST_CASE("flood: the store answers while no more calls are taken, its answer is heard") {
  const ScratchFolder folder;
  const std::string path = alone(folder);
  std::atomic<bool> journaled{false};
  std::atomic<std::size_t> answers{0};
  std::atomic<std::size_t> more{0};
  const std::unique_ptr<Client> client = open(path);
  REQUIRE(client->exec(kInsert, {1}).status == Status::kJournaled);
  auto first = std::make_unique<Held>(*client);
  first->reach();
  client->exec_async(kInsert, {2}, {},
                     [&](WriteResult result) { journaled = result.status == Status::kJournaled; });
  {
    const Held second(*client);
    fill(*client, answers);
    const Database lock(path, Database::Mode::kReadWrite);
    lock.exec("BEGIN IMMEDIATE");  // the store waits for it, but not for long
    first.reset();
    second.reach();
    fill(*client, more);
    lock.exec("ROLLBACK");
    CHECK(eventually([&] { return count_in(path, 2) == 1; }));
    for (int i = 0; i < 20; ++i) breathe();
    CHECK_FALSE(journaled);
  }
  REQUIRE(eventually([&] { return journaled.load(); }));
  CHECK(client->exec(kInsert, {3}).status == Status::kJournaled);
  CHECK(count_in(path, 3) == 1);
}

TEST_CASE("flood: an owner leaves while no more calls are taken") {
  const ScratchFolder folder;
  leave_flooded(*open(alone(folder)));
}

TEST_CASE("flood: a guest leaves while no more calls are taken") {
  const ScratchFolder folder;
  const std::string path = alone(folder);
  const std::unique_ptr<Client> owner = open(path);
  const std::unique_ptr<Client> guest = open(path);
  REQUIRE(guest->works_through_owner());
  leave_flooded(*guest);
  CHECK(owner->exec(kInsert, {1}).status == Status::kJournaled);
}

}  // namespace csa::threads_test::flood_test
