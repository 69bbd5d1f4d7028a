#include "tests/system/load.h"

#include <doctest/doctest.h>

#include "common/sqlite.h"

namespace csa::system_test {
namespace {

using Status = WriteResult::Status;

constexpr const char* kWrite =
    "INSERT INTO entry (writer, number, body) VALUES (?, ?, ?);"
    "INSERT INTO total VALUES (?, 1) ON CONFLICT (writer) DO UPDATE SET entries = entries + 1";

std::map<std::int64_t, std::int64_t> times_found(const Database& master, std::int64_t writer) {
  std::map<std::int64_t, std::int64_t> times;
  Statement rows = master.prepare("SELECT number FROM entry WHERE writer = ?");
  rows.bind(1, writer);
  while (rows.step()) ++times[rows.column_int(0)];
  return times;
}

}  // namespace

Load::Load(const std::vector<Client*>& clients, std::int64_t first) {
  for (Client* const client : clients) accounts_.push_back({client, first++, {}});
  for (Account& account : accounts_) {
    threads_.emplace_back([this, &account] { write(account); });
  }
}

Load::~Load() { stop(); }

void Load::stop() {
  stop_ = true;
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

void Load::write(Account& account) {
  const std::int64_t who = account.writer;
  while (!stop_) {
    const auto number = static_cast<std::int64_t>(account.answers.size());
    const std::string body(static_cast<std::size_t>(number % 700), 'b');
    WriteResult answer = account.client->exec(kWrite, {who, number, Text{body}, who});
    if (answer.status == Status::kCommitted) ++committed_;
    if (answer.status == Status::kRejected) ++rejected_;
    if (answer.status == Status::kJournaled) ++journaled_;
    // Offline it is so fast that the way back would be most of the test.
    if (answer.status == Status::kRejected || answer.status == Status::kJournaled) breathe();
    // Nothing was sent: ask again when there may be a broker.
    if (answer.status == Status::kNoBroker) {
      (void)account.client->wait_for(ClientState::kLive, milliseconds{200});
    }
    account.answers.push_back(std::move(answer));
  }
}

bool Load::wait_for_more(std::size_t count) const {
  const std::size_t wanted = committed_ + count;
  return eventually([&] { return committed_ >= wanted; }, milliseconds{60000});
}

std::set<std::string> Load::rejections() const {
  std::set<std::string> reasons;
  for (const Account& account : accounts_) {
    for (const WriteResult& answer : account.answers) {
      if (answer.status == Status::kRejected) reasons.insert(answer.message);
    }
  }
  return reasons;
}

std::string Load::summary() const {
  std::map<Status, std::size_t> by_status;
  std::size_t all = 0;
  for (const Account& account : accounts_) {
    all += account.answers.size();
    for (const WriteResult& answer : account.answers) ++by_status[answer.status];
  }
  return std::to_string(all) + " writes: " + std::to_string(by_status[Status::kCommitted]) +
         " committed, " + std::to_string(by_status[Status::kJournaled]) + " journaled, " +
         std::to_string(by_status[Status::kRejected]) + " rejected, " +
         std::to_string(by_status[Status::kNoBroker]) + " not sent, " +
         std::to_string(by_status[Status::kUnknown]) + " unknown";
}

void Load::check_one(const Account& account,
                     const std::map<std::int64_t, std::int64_t>& found) const {
  for (std::size_t number = 0; number < account.answers.size(); ++number) {
    const WriteResult& answer = account.answers[number];
    const auto place = found.find(static_cast<std::int64_t>(number));
    const std::int64_t times = place == found.end() ? 0 : place->second;
    CAPTURE(account.writer);
    CAPTURE(number);
    CAPTURE(answer.message);
    switch (answer.status) {
      case Status::kCommitted:
      case Status::kJournaled:
        CHECK(times == 1);
        break;
      case Status::kRejected:
      case Status::kNoBroker:
        CHECK(times == 0);
        break;
      case Status::kUnknown: {
        CHECK(times <= 1);
        // The broker can tell now.
        const WriteResult later = account.client->outcome(answer.tx, kPatience);
        CHECK((later.status == Status::kCommitted) == (times == 1));
        break;
      }
    }
  }
}

void Load::check_account(const Place& place) {
  const Database master(place.master(), Database::Mode::kReadOnly);
  for (const Account& account : accounts_) {
    check_one(account, times_found(master, account.writer));
  }
  CHECK(master.query_int("SELECT count(*) FROM total AS t WHERE entries <> (SELECT count(*) FROM "
                         "entry AS e WHERE e.writer = t.writer)") == 0);
  CHECK(master.query_text("PRAGMA integrity_check") == "ok");
}

}  // namespace csa::system_test
