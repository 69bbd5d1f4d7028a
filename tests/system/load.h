// Writers that keep several nodes busy, and the account of what each was told: an answered write is
// in the master exactly once, a refused one never, an unanswered one at most once.
#pragma once

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "node/client.h"
#include "tests/system/place.h"

namespace csa::system_test {

// Rows tell who wrote them; `total` is wrong as soon as one write takes effect twice.
inline constexpr const char* kLoadSchema =
    "CREATE TABLE entry (id INTEGER PRIMARY KEY AUTOINCREMENT, writer INTEGER NOT NULL,"
    " number INTEGER NOT NULL, body TEXT);"
    "CREATE INDEX entry_by_writer ON entry (writer, number);"
    "CREATE TABLE total (writer INTEGER PRIMARY KEY, entries INTEGER NOT NULL);";

class Load {
 public:
  // One writer for each client, from now on, numbered from `first` on. The clients must outlive
  // this.
  explicit Load(const std::vector<Client*>& clients, std::int64_t first = 0);
  ~Load();
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Writes that were answered committed so far.
  [[nodiscard]] std::size_t committed() const { return committed_; }
  [[nodiscard]] std::size_t rejected() const { return rejected_; }
  // Why. REQUIRES: stopped.
  [[nodiscard]] std::set<std::string> rejections() const;
  [[nodiscard]] std::size_t journaled() const { return journaled_; }
  // Waits for so many more committed ones; false at the deadline.
  [[nodiscard]] bool wait_for_more(std::size_t count) const;
  // Every writer finishes the write it is in.
  void stop();
  // REQUIRES: stopped, and the clients live. Compares the account with the master; checks.
  void check_account(const Place& place);
  // For people: how the writes ended.
  [[nodiscard]] std::string summary() const;

 private:
  struct Account {
    Client* client = nullptr;
    std::int64_t writer = 0;
    std::vector<WriteResult> answers;  // by number
  };
  void write(Account& account);
  void check_one(const Account& account, const std::map<std::int64_t, std::int64_t>& found) const;

  std::atomic<bool> stop_{false};
  std::atomic<std::size_t> committed_{0};
  std::atomic<std::size_t> rejected_{0};
  std::atomic<std::size_t> journaled_{0};
  std::vector<Account> accounts_;
  std::vector<std::thread> threads_;
};

}  // namespace csa::system_test
