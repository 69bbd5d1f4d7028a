#include "broker/connections.h"

#include <doctest/doctest.h>

#include "common/limits.h"

namespace csa::connections_test {
namespace {

using namespace std::chrono_literals;
using Side = Connections::Side;

std::string topic(char nonce) { return "n" + std::string(16, nonce); }

}  // namespace

TEST_CASE("connections: when they are scarce, those of no peer are cut, the oldest first") {
  TimePoint now{100s};
  Connections all(12, 30s);
  const auto known = [](std::string_view of) { return of == topic('a'); };
  for (int file = 1; file <= 9; ++file) {
    CHECK(all.accepted(file, file % 2 == 0 ? Side::kChanges : Side::kRequests, now + file * 1ms));
  }
  all.heard(1, now);
  all.subscribed(2, topic('a'));
  all.subscribed(4, topic('b'));
  all.subscribed(6, "c");
  now += limits::kStrangerGrace + 1s;
  CHECK(all.strangers(now, known).empty());  // there are files enough
  CHECK(all.accepted(20, Side::kRequests, now));
  CHECK(all.strangers(now, known) == std::vector<int>{3, 4, 5, 6, 7, 8, 9});
  now += 30s;
  CHECK(all.strangers(now, known) == std::vector<int>{1, 3, 4, 5, 6, 7, 8, 9, 20});
  // The kernel gives a number again, and the new one has its own time.
  CHECK(all.accepted(3, Side::kRequests, now));
  CHECK(all.strangers(now, known) == std::vector<int>{1, 4, 5, 6, 7, 8, 9, 20});
}

TEST_CASE("connections: beyond the bound nobody is let in until another has gone") {
  Connections all(3, 30s);
  for (int file = 1; file <= 3; ++file) CHECK(all.accepted(file, Side::kRequests, TimePoint{}));
  CHECK(!all.accepted(4, Side::kRequests, TimePoint{}));
  CHECK(all.accepted(3, Side::kRequests, TimePoint{}));  // that number's connection is gone
  all.closed(4);
  CHECK(!all.accepted(4, Side::kRequests, TimePoint{}));
  all.closed(1);
  CHECK(all.accepted(4, Side::kRequests, TimePoint{}));
  CHECK(all.size() == 3);
}

}  // namespace csa::connections_test
