// Disks that report errors at the N-th call, once or from then on: broker and node end, or refuse,
// with a sentence; after a restart all that was answered is there once, and every copy is equal.
#include <doctest/doctest.h>

#include <cctype>
#include <map>

#include "common/sqlite.h"
#include "tests/faults/injected.h"
#include "tests/system/load.h"

namespace csa::fault_test::error_test {
namespace {

using system_test::eventually;
using system_test::kLoadSchema;
using system_test::kPatience;
using system_test::Load;
using system_test::milliseconds;

std::vector<std::string> rules(const std::vector<std::string>& whens) {
  std::vector<std::string> all;
  for (const char* const call : {"fdatasync", "pwrite64"}) {
    for (const char* const error : {"EIO", "ENOSPC"}) {
      for (const std::string& when : whens) {
        all.push_back(call + std::string(":error=") + error + ":when=" + when);
      }
    }
  }
  return all;
}

// A sentence that says what failed, and no word of an assertion.
void check_words(const std::string& said, const std::string& file) {
  CHECK_MESSAGE(said.find(file) != std::string::npos, said);
  CHECK_MESSAGE(said.find("Assertion") == std::string::npos, said);
  CHECK_MESSAGE(said.find("CHECK") == std::string::npos, said);
}

struct Ends {
  int ended = 0;
  int went_on = 0;
  int told = 0;  // of all, those that named their file
};

bool is_kept(const std::string& answer) {
  return answer.find("\"committed\"") != std::string::npos ||
         answer.find("\"journaled\"") != std::string::npos;
}

// How often each number of this writer is there.
std::map<int, int> times_of(const Place& place, int writer) {
  const Database master(place.master(), Database::Mode::kReadOnly);
  Statement rows =
      master.prepare("SELECT number, count(*) FROM entry WHERE writer = ? GROUP BY number");
  rows.bind(1, std::int64_t{writer});
  std::map<int, int> times;
  while (rows.step()) {
    times[static_cast<int>(rows.column_int(0))] = static_cast<int>(rows.column_int(1));
  }
  return times;
}

// The broker's disk fails while two nodes write.
void fail_broker(const std::string& rule, Ends& ends) {
  CAPTURE(rule);
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  std::optional<Program> broker(place.serve(ready));
  const std::unique_ptr<Client> one = place.client("one.db");
  const std::unique_ptr<Client> two = place.client("two.db");
  REQUIRE(one->wait_for(ClientState::kLive, kPatience));
  REQUIRE(two->wait_for(ClientState::kLive, kPatience));
  Load load({one.get(), two.get()});
  REQUIRE(load.wait_for_more(10));
  std::optional<Program> tracer(attach(*broker, rule));
  (void)eventually([&] { return load.rejected() + load.journaled() > 20; }, milliseconds{4000});
  const std::string said = broker->errors();
  const std::optional<int> code = broker->exit_code(milliseconds{0});
  // After an error of the disk it may not go on: only a restart tells what the disk holds.
  if (rule.find("EIO") != std::string::npos) CHECK_MESSAGE(code, said);
  if (code) {
    ++ends.ended;
    CHECK_MESSAGE(*code == 1, said);
    check_words(said, place.master());
  } else {
    ++ends.went_on;
    broker->kill();
  }
  tracer.reset();
  broker.emplace(place.serve(ready));
  load.stop();
  REQUIRE(is_calm(*one));
  REQUIRE(is_calm(*two));
  load.check_account(place);
  check_copies(place, {"one.db", "two.db"});
}

// The disk of a node fails while it follows and writes.
void fail_node(const std::string& rule, Ends& ends) {
  CAPTURE(rule);
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  const Program broker = place.serve(ready);
  const std::unique_ptr<Client> other = place.client("other.db");
  REQUIRE(other->wait_for(ClientState::kLive, kPatience));
  Load load({other.get()});
  std::vector<int> kept;  // the numbers of writes that were answered committed or journaled
  {
    Launch shell = place.node("till.db", {"shell", "--json"});
    for (int i = 0; i < 400; ++i) {
      shell.input += "INSERT INTO entry (writer, number, body) VALUES (99, " + std::to_string(i) +
                     ", zeroblob(20000));\n";
    }
    Program till(shell);
    int number = 0;
    const auto hear = [&](const std::optional<std::string>& line) {
      if (!line) return false;
      if (is_kept(*line)) kept.push_back(number);
      ++number;
      return true;
    };
    for (int i = 0; i < 10; ++i) REQUIRE(hear(till.line()));
    CHECK(kept.size() == 10);
    const Program tracer = attach(till, rule);
    const auto end = system_test::after(milliseconds{4000});
    while (hear(till.line(system_test::left(end)))) {
    }
    const std::optional<int> code = till.exit_code(milliseconds{0});
    ++(code ? ends.ended : ends.went_on);
    if (till.errors().find(place.file("till.db")) != std::string::npos) ++ends.told;
    if (code && *code != 0) {
      CHECK_MESSAGE(*code < 128, till.errors());
      CHECK_MESSAGE(!till.errors().empty(), *code);
      CHECK_MESSAGE(till.errors().find("Assertion") == std::string::npos, till.errors());
    }
    till.kill();
  }
  const Program back = place.live_node("till.db");
  load.stop();
  REQUIRE(is_calm(*other));
  load.check_account(place);
  check_copies(place, {"till.db", "other.db"});
  const std::map<int, int> times = times_of(place, 99);
  for (const auto& [n, count] : times) CHECK_MESSAGE(count == 1, n);
  for (const int n : kept) CHECK_MESSAGE(times.contains(n), n);
}

void fail_both(const std::vector<std::string>& whens) {
  if (!can_inject()) return;
  Ends broker;
  Ends node;
  for (const std::string& rule : rules(whens)) {
    fail_broker(rule, broker);
    fail_node(rule, node);
  }
  MESSAGE("errors of disks: the broker ended "
          << broker.ended << " times and went on " << broker.went_on << " times, the node "
          << node.ended << " and " << node.went_on << ", " << node.told << " times with words");
  CHECK(broker.ended > 0);
  CHECK(node.told > 0);
}

}  // namespace

TEST_CASE("fault: the broker's disk reports an error at a sync, it ends with words, all is there") {
  if (!can_inject()) return;
  Ends ends;
  fail_broker("fdatasync:error=EIO:when=3", ends);
  CHECK(ends.ended == 1);
}

TEST_CASE(
    "fault: the file system of broker, and of a node, turns read-only, all is there after it") {
  if (!can_inject()) return;
  Ends broker;
  Ends node;
  fail_broker("pwrite64:error=EROFS:when=2+", broker);
  fail_node("pwrite64:error=EROFS:when=2+", node);
  MESSAGE("read-only: the broker ended " << broker.ended << " times, the node " << node.ended
                                         << "; with words " << node.told);
  CHECK(node.told == 1);
}

TEST_CASE("fault: what an assertion ends says a sentence") {
  const Place place;
  place.create(kLoadSchema);
  Ready ready;
  Program broker = place.serve(ready);
  Program node = place.live_node("till.db");
  for (Program* const program : {&broker, &node}) {
    program->signal(SIGABRT);
    CHECK(program->exit_code() == 128 + SIGABRT);
    CHECK_MESSAGE(program->errors().find("again.") != std::string::npos, program->errors());
  }
}

TEST_CASE(
    "long: fault: disks report EIO and ENOSPC at the N-th sync and write, once and for good") {
  fail_both({"1", "8", "21", "1+", "12+"});
}

}  // namespace csa::fault_test::error_test
