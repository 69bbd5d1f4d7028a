#include "tests/shown/office.h"

#include <doctest/doctest.h>

#include <utility>

namespace csa::shown_test {

using std::chrono::seconds;
using system_test::Launch;
using system_test::Program;

Office::Office(const std::string& schema, system_test::Words broker)
    : place_("default"), flags_(std::move(broker)) {
  lans_.add_lan("lan");
  int number = 1;
  for (const char* const computer : {"office", "laptop"}) {
    lans_.add_computer(computer);
    lans_.plug(computer, "lan", "10.77.0." + std::to_string(number++) + "/24");
  }
  place_.create(schema);
  serve();
  Program taking(laptop({"run"}));
  REQUIRE(taking.line_with("state=live", seconds{120}));
  taking.signal(SIGTERM);
  CHECK(taking.exit_code() == 0);
}

void Office::serve() {
  system_test::Words words = {"serve"};
  words.insert(words.end(), flags_.begin(), flags_.end());
  broker_.emplace(lans_.on("office", place_.broker(words)));
  REQUIRE(broker_->line_with("csa-broker: ready"));
}

void Office::stop_broker() {
  broker_->signal(SIGTERM);
  CHECK(broker_->exit_code() == 0);
  broker_.reset();
}

Launch Office::laptop(const system_test::Words& words) const {
  return lans_.on("laptop", place_.node("laptop.db", words));
}

system_test::Finished Office::admin(const system_test::Words& words) const {
  return system_test::run(lans_.on("office", place_.admin(words)), seconds{120});
}

void Office::type(const std::string& computer, const std::string& replica, const std::string& sql,
                  const char* discovery) {
  Launch launch = place_.node(replica, {"shell", "--discovery-timeout", discovery});
  launch.input = sql;
  const system_test::Finished done = system_test::run(lans_.on(computer, launch), seconds{120});
  REQUIRE_MESSAGE(done.code == 0, done.err);
}

std::int64_t Office::log_bytes() const {
  return system_test::count_of(place_.master(),
                               "SELECT coalesce(sum(length(body)), 0) FROM csa_log");
}

std::uint64_t Office::carried() const {
  std::uint64_t bytes = 0;
  for (const char* const way : {"rx", "tx"}) {
    Launch cat;
    cat.command = {"cat", std::string("/sys/class/net/lan0/statistics/") + way + "_bytes"};
    bytes += std::stoull(system_test::run(lans_.on("laptop", cat)).out);
  }
  return bytes;
}

}  // namespace csa::shown_test
