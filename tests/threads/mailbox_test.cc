#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "common/mailbox.h"

#include <doctest/doctest.h>
#include <poll.h>

#include <memory>
#include <thread>
#include <vector>

#include "common/system_clock.h"

namespace csa::mailbox_test {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

bool readable(int file, int timeout_ms) {
  pollfd item{file, POLLIN, 0};
  return ::poll(&item, 1, timeout_ms) == 1;
}

}  // namespace

TEST_CASE(
    "mailbox: many writers and one reader, every value arrives once and in its writer's order") {
  constexpr int kWriters = 4;
  constexpr int kEach = 5000;
  Mailbox<std::unique_ptr<std::pair<int, int>>> mailbox(64);
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([&mailbox, w] {
      for (int i = 0; i < kEach; ++i) {
        while (!mailbox.push(std::make_unique<std::pair<int, int>>(w, i)))
          std::this_thread::yield();
      }
    });
  }
  std::vector<int> next(kWriters, 0);
  const TimePoint deadline = monotonic_now() + seconds{60};
  for (int got = 0; got < kWriters * kEach;) {
    REQUIRE(monotonic_now() < deadline);
    const auto value = mailbox.wait_pop(milliseconds{100});
    if (!value) continue;
    ++got;
    CHECK((*value)->second == next[static_cast<std::size_t>((*value)->first)]++);
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(!mailbox.pop());
}

TEST_CASE("mailbox: full, a push is refused and nothing blocks") {
  Mailbox<int> mailbox(2);
  CHECK(mailbox.push(1));
  CHECK(mailbox.push(2));
  CHECK(!mailbox.push(3));
  CHECK(mailbox.pop() == 1);
  CHECK(mailbox.push(3));
}

TEST_CASE("mailbox: full, what must not be lost is taken all the same, until it is closed") {
  Mailbox<int> mailbox(1);
  CHECK(mailbox.push(1));
  CHECK(mailbox.push_beyond(2));
  CHECK(mailbox.push_beyond(3));
  CHECK(!mailbox.push(4));
  CHECK(mailbox.pop() == 1);
  CHECK(mailbox.pop() == 2);
  CHECK(!mailbox.push(4));
  mailbox.close();
  CHECK(!mailbox.push_beyond(4));
  CHECK(mailbox.pop() == 3);
  CHECK(!mailbox.pop());
}

TEST_CASE(
    "mailbox: the descriptor is readable while there is something, also from another thread") {
  Mailbox<int> mailbox(8);
  CHECK(!readable(mailbox.wake_fd(), 0));
  std::thread writer([&mailbox] { mailbox.push(7); });
  CHECK(readable(mailbox.wake_fd(), 10000));
  writer.join();
  CHECK(mailbox.pop() == 7);
  CHECK(!mailbox.pop());
  CHECK(!readable(mailbox.wake_fd(), 0));
}

TEST_CASE("mailbox: closed, a waiting reader wakes, what is inside is still given out") {
  Mailbox<int> mailbox(8);
  mailbox.push(1);
  std::thread closer([&mailbox] { mailbox.close(); });
  CHECK(mailbox.wait_pop(seconds{60}) == 1);
  CHECK(!mailbox.wait_pop(seconds{60}));
  closer.join();
  CHECK(mailbox.closed());
  CHECK(!mailbox.push(2));
}

}  // namespace csa::mailbox_test
