// The real shells in one process: a broker with its stores and its sockets, clients that own a
// replica and clients that work through them, over the loopback interface. What counts is that
// ThreadSanitizer has nothing to say; that every write is told once and takes effect once is
// checked beside it.
#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "common/sqlite.h"
#include "common/system_clock.h"
#include "node/client.h"
#include "node/owner_lock.h"
#include "tests/threads/served.h"

namespace csa::threads_test::shells_test {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Status = WriteResult::Status;

constexpr const char* kInsert = "INSERT INTO entry (writer, number) VALUES (?, ?)";
constexpr const char* kCount = "SELECT count(*) FROM entry";
constexpr seconds kPatience{60};

std::int64_t count_in(const std::string& file) {
  return Database(file, Database::Mode::kReadOnly).query_int(kCount).value_or(-1);
}

// The replica shows what the master holds.
bool equal_soon(const Served& served, const std::string& replica) {
  return eventually([&] { return count_in(replica) == count_in(served.master()); });
}

// A thread that writes until it is told to stop, and counts what it was told.
class Writer {
 public:
  Writer(Client& client, std::int64_t number)
      : thread_([this, &client, number] {
          for (std::int64_t i = 0; !stop_; ++i) {
            const WriteResult result = client.exec(kInsert, {number, i});
            if (result.status == Status::kCommitted) ++committed_;
            if (result.status == Status::kUnknown) ++unknown_;
            if (result.status == Status::kJournaled) ++journaled_;
            if (result.status == Status::kNoBroker) {
              (void)client.wait_for(ClientState::kLive, milliseconds{50});
            }
          }
        }) {}
  ~Writer() { stop(); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  [[nodiscard]] bool more(int count) const {
    const int wanted = committed_ + count;
    return eventually([&] { return committed_ >= wanted; });
  }
  [[nodiscard]] int committed() const { return committed_; }
  [[nodiscard]] int unknown() const { return unknown_; }
  [[nodiscard]] int journaled() const { return journaled_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int> committed_{0};
  std::atomic<int> unknown_{0};
  std::atomic<int> journaled_{0};
  std::thread thread_;
};

// A thread that asks and reads as applications do.
class Asker {
 public:
  explicit Asker(Client& client) : thread_([this, &client] { ask(client); }) {}
  ~Asker() {
    stop_ = true;
    thread_.join();
  }
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

 private:
  void ask(Client& client) {
    while (!stop_) {
      (void)client.status();
      (void)client.works_through_owner();
      (void)client.wait_until_readable(milliseconds{5});
      const Reader reader = client.open_reader();
      if (reader.db) {
        sqlite3_exec(reader.db.get(), kCount, nullptr, nullptr, nullptr);
      }
      breathe();
    }
  }
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace

TEST_CASE("shells: owners and a guest write, read and are told from many threads, all are equal") {
  Served served;
  std::atomic<int> changes{0};
  const auto count_changes = [&](const ClientEvent& event) {
    if (event.kind == ClientEvent::Kind::kChanged) ++changes;
  };
  const std::unique_ptr<Client> till = served.open("till.db", count_changes);
  const std::unique_ptr<Client> office = served.open("office.db", count_changes);
  const std::unique_ptr<Client> guest = served.open("till.db", count_changes);
  REQUIRE(till->settle(kPatience));
  REQUIRE(office->settle(kPatience));
  REQUIRE(guest->settle(kPatience));
  CHECK(guest->works_through_owner());
  int committed = 0;
  {
    const Asker one(*till);
    const Asker two(*guest);
    Writer a(*till, 1);
    Writer b(*office, 2);
    Writer c(*guest, 3);
    Writer d(*till, 4);
    CHECK(a.more(20));
    {  // comes, takes a full copy, and leaves under load, twice on one file
      for (int i = 0; i < 2; ++i) {
        const std::unique_ptr<Client> visitor = served.open("visitor.db");
        CHECK(visitor->settle(kPatience));
        CHECK(visitor->exec(kInsert, {5, i}).status == Status::kCommitted);
        ++committed;
      }
    }
    CHECK(b.more(20));
    CHECK(c.more(20));
    for (Writer* const writer : {&a, &b, &c, &d}) {
      writer->stop();
      committed += writer->committed();
      CHECK(writer->unknown() == 0);
    }
  }
  CHECK(count_in(served.master()) == committed);
  CHECK(equal_soon(served, till->replica_path()));
  CHECK(equal_soon(served, office->replica_path()));
  CHECK(eventually([&] { return changes > 0; }));
}

TEST_CASE("shells: owners leave one after the other, guests take over under load") {
  Served served;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(served.open("node.db"));
  const std::unique_ptr<Client> last = served.open("node.db");
  const Asker asker(*last);
  Writer writer(*last, 1);
  Writer other(*last, 2);
  for (const std::unique_ptr<Client>& owner : clients) {
    CHECK(writer.more(5));
    owner->leave();
  }
  CHECK(writer.more(5));
  CHECK(other.more(5));
  writer.stop();
  other.stop();
  CHECK(writer.unknown() + other.unknown() == 0);
  CHECK_FALSE(last->works_through_owner());
  CHECK(count_in(served.master()) == writer.committed() + other.committed());
}

TEST_CASE("shells: a link and the file that it names are one replica with one owner") {
  Served served;
  const fs::path folder = fs::path(served.master()).parent_path();
  const fs::path link = folder / "link.db";
  fs::create_symlink("real/node.db", link);  // which is not there yet
  const std::unique_ptr<Client> owner = served.open("link.db");
  CHECK(owner->replica_path() == folder / "real/node.db");
  REQUIRE(owner->settle(kPatience));
  const std::unique_ptr<Client> guest = served.open("real/node.db");
  CHECK(guest->works_through_owner());
  CHECK(OwnerLock::owner_of(link).has_value());
  CHECK(fs::is_symlink(link));
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    CHECK_MESSAGE((name == "link.db" || !name.starts_with("link.db")), name);
  }
}

TEST_CASE("shells: clients made and ended at every moment, each write is told once") {
  Served served;
  const std::unique_ptr<Client> steady = served.open("steady.db");
  REQUIRE(steady->settle(kPatience));
  std::atomic<int> told{0};
  int asked = 0;
  for (int i = 0; i < 24; ++i) {
    // Every third one on a file of its own, so that it begins with a full copy.
    const std::string file = i % 3 == 0   ? "fresh" + std::to_string(i) + ".db"
                             : i % 3 == 1 ? "again.db"
                                          : "steady.db";
    const std::unique_ptr<Client> brief = served.open(file);
    for (int write = 0; write < i % 4; ++write, ++asked) {
      brief->exec_async(kInsert, {6, asked}, {}, [&](WriteResult) { ++told; });
    }
    if (i % 2 == 1) (void)brief->wait_for(ClientState::kLive, milliseconds{10 * (i % 7)});
    if (i % 5 == 4) {
      std::thread leaver([&] { brief->leave(); });
      brief->leave();
      leaver.join();
      CHECK(brief->exec(kInsert, {6, -1}).status == Status::kNoBroker);
    }
  }
  CHECK(told == asked);
  CHECK(steady->exec(kInsert, {7, 1}).status == Status::kCommitted);
  CHECK(equal_soon(served, steady->replica_path()));
}

TEST_CASE("shells: owner and guest end at the same time, each write is told once") {
  Served served;
  std::atomic<int> told{0};
  int asked = 0;
  for (int i = 0; i < 8; ++i) {
    const std::unique_ptr<Client> owner = served.open("pair.db");
    const std::unique_ptr<Client> guest = served.open("pair.db");
    if (i > 0) CHECK(owner->settle(kPatience));
    for (int write = 0; write < 3; ++write, ++asked) {
      guest->exec_async(kInsert, {8, asked}, {}, [&](WriteResult) { ++told; });
    }
    std::thread ender([&] { owner->leave(); });
    if (i % 2 == 0) CHECK(guest->status().state != ClientState::kLeaving);
    guest->leave();
    ender.join();
  }
  CHECK(told == asked);
  const std::unique_ptr<Client> after = served.open("pair.db");
  REQUIRE(after->settle(kPatience));
  CHECK(equal_soon(served, after->replica_path()));
}

TEST_CASE("shells: broker ends and comes back under load, soon and at once") {
  Served served;
  const std::unique_ptr<Client> client = served.open("node.db");
  const std::unique_ptr<Client> guest = served.open("node.db");
  REQUIRE(client->settle(kPatience));
  int committed = 0;
  int unknown = 0;
  {
    Writer writer(*client, 1);
    Writer through(*guest, 2);
    CHECK(through.more(5));
    served.stop();
    served.start();
    CHECK(writer.more(5));
    CHECK(through.more(5));
    for (int i = 0; i < 2; ++i) {  // without waiting for anybody
      served.stop();
      served.start();
    }
    CHECK(writer.more(1));
    for (Writer* const one : {&writer, &through}) {
      one->stop();
      committed += one->committed() + one->journaled();
      unknown += one->unknown();
    }
  }
  CHECK(eventually([&] {
    const ClientStatus status = client->status();
    return status.state == ClientState::kLive && status.pending == 0;
  }));
  CHECK(count_in(served.master()) >= committed);
  CHECK(count_in(served.master()) <= committed + unknown);
  CHECK(equal_soon(served, client->replica_path()));
}

}  // namespace csa::threads_test::shells_test
