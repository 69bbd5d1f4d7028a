// csa-sub: the live tail of a shared database, from the log on, without a gap or a repeat.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <iostream>

#include "common/host.h"
#include "common/limits.h"
#include "common/planted.h"
#include "common/random.h"
#include "common/stream.h"
#include "common/system_clock.h"
#include "tools/caller.h"
#include "tools/tail.h"

namespace csa {
namespace {

struct SubFlags {
  CommonFlags common;
  std::vector<std::string> tables;
  std::vector<std::string> ops;
  std::string since;
  std::optional<std::uint64_t> until;
  std::optional<std::uint64_t> count;
  bool nodes = false;
};

class Sub {
 public:
  Sub(const SubFlags& flags, TailOptions tail, Caller& caller, const StopSignals& signals)
      : flags_(flags),
        caller_(caller),
        signals_(signals),
        stream_(random_u64()),
        tail_(std::move(tail), [](const std::string& line) { std::cout << line << '\n'; }) {}

  int run() {
    while (!tail_.done() && !signals_.taken() && std::cout) {
      const Caller::Turn turn = caller_.turn(wait(), signals_.file());
      for (const LinkEvent& event : turn.events) {
        if (const auto code = on_event(event)) return *code;
      }
      for (const Message& message : turn.messages) {
        if (const auto code = on_message(message)) return *code;
      }
      if (const auto code = go_on()) return *code;
    }
    std::cout.flush();
    crash_point("sub: lines are out");
    return 0;
  }

 private:
  [[nodiscard]] Duration wait() const {
    const std::optional<TimePoint> due = stream_.deadline();
    if (!due) return limits::kPollMax;
    return std::max<Duration>(*due - monotonic_now(), Duration::zero());
  }

  std::optional<int> on_event(const LinkEvent& event) {
    const TimePoint now = monotonic_now();
    if (const auto* const refused = std::get_if<LinkRefused>(&event)) {
      std::cerr << "csa-sub: refused by the broker: " << refused->refusal.text << std::endl;
      return 4;
    }
    if (const auto* const lost = std::get_if<LinkLost>(&event)) {
      std::cerr << "csa-sub: broker away (" << lost->why << "); going on when it is back"
                << std::endl;
      stream_.stop();
    }
    const auto* const ready = std::get_if<LinkReady>(&event);
    if (ready == nullptr) return std::nullopt;
    tail_.forget_wanted();
    if (!started_) {
      started_ = true;
      return begin(*ready, now);
    }
    std::cerr << "csa-sub: broker is back" << std::endl;
    stream_.start(stream_.position(), offset_, now);
    return std::nullopt;
  }

  std::optional<int> begin(const LinkReady& ready, TimePoint now) {
    Position after = ready.head;
    if (!flags_.since.empty()) {
      const Seq floor = ready.welcome.floor;
      // Transactions are numbered from 1.
      const std::uint64_t first = flags_.since == "start"
                                      ? floor.value
                                      : std::max<std::uint64_t>(1, std::stoull(flags_.since));
      if (first < floor.value) {
        std::cerr << "csa-sub: the broker's log begins at " << floor.value << "; " << first
                  << " is no longer in it. Use --since start for all there is." << std::endl;
        return 1;
      }
      // A number that is still to come is waited for.
      tail_.skip_before(Seq{first});
      if (first <= ready.head.seq.value) after = {ready.head.epoch, Seq{first - 1}, Chain{}};
    }
    if (after.seq == ready.head.seq) tail_.begin_with(ready.welcome.schema_version);
    stream_.start(after, 0, now);
    return std::nullopt;
  }

  std::optional<int> on_message(const Message& message) {
    const TimePoint now = monotonic_now();
    if (const auto* const update = std::get_if<Update>(&message)) stream_.on_update(*update, now);
    if (const auto* const slice = std::get_if<LogSlice>(&message))
      (void)stream_.on_log(*slice, now);
    if (const auto* const head = std::get_if<Head>(&message)) stream_.on_head(head->head, now);
    if (const auto* const pong = std::get_if<Pong>(&message)) stream_.on_head(pong->head, now);
    if (const auto* const layout = std::get_if<LayoutReply>(&message)) tail_.on_layout(*layout);
    if (const auto* const presence = std::get_if<Presence>(&message); presence && flags_.nodes) {
      tail_.on_presence(*presence);
    }
    const auto* const gone = std::get_if<LogGone>(&message);
    if (gone == nullptr || !stream_.on_gone(*gone)) return std::nullopt;
    std::cerr << "csa-sub: cannot go on after " << stream_.position().seq.value << ": "
              << gone->text << std::endl;
    return 1;
  }

  // Takes what is ready, prints it, and asks for what is missing.
  std::optional<int> go_on() {
    const TimePoint now = monotonic_now();
    while (!tail_.done()) {
      if (!tail_.waiting()) {
        std::vector<LogPiece> pieces = stream_.take(limits::kUpdateMax);
        if (pieces.empty()) break;
        const LogPiece& last = pieces.back();
        offset_ = last.completes() ? 0 : last.offset + last.bytes.size();
        tail_.add(std::move(pieces));
      }
      if (const Status printed = tail_.print(); !printed) {
        std::cerr << "csa-sub: " << printed.error().what << std::endl;
        return 7;
      }
      if (tail_.waiting()) break;
    }
    if (started_ && stream_.caught_up()) tail_.reached(stream_.position().seq);
    std::cout.flush();
    for (const std::string& notice : tail_.take_notices()) {
      std::cerr << "csa-sub: " << notice << std::endl;
    }
    if (!caller_.uplink().ready()) return std::nullopt;
    if (const auto version = tail_.take_wanted()) caller_.uplink().send(LayoutGet{*version});
    if (const auto request = stream_.take_request(now)) caller_.uplink().send(*request);
    return std::nullopt;
  }

  const SubFlags& flags_;
  Caller& caller_;
  const StopSignals& signals_;
  Stream stream_;
  Tail tail_;
  bool started_ = false;
  std::uint64_t offset_ = 0;  // bytes of the entry after stream_.position() that were taken
};

}  // namespace
}  // namespace csa

int main(int argc, char** argv) {
  csa::SubFlags flags;
  flags.common.log_level = csa::LogLevel::kWarn;
  CLI::App app{
      "Prints the changes of a shared database as they happen.\n"
      "Example: csa-sub --table part --since start --json"};
  csa::add_common_flags(app, flags.common);
  app.add_option("--table", flags.tables,
                 "only changes of this table and conflicts about its rows (repeatable); for a "
                 "full-text table or an R*Tree, of the tables that hold its rows (NAME_content, "
                 "NAME_node, NAME_rowid)");
  app.add_option("--op", flags.ops, "only these operations (repeatable)")
      ->check(CLI::IsMember({"insert", "update", "delete", "conflict", "offered"}));
  app.add_option("--since", flags.since, "print from this Seq on, or from the log's 'start'")
      ->check([](const std::string& text) {
        const bool number = !text.empty() && text.size() < 19 &&
                            text.find_first_not_of("0123456789") == std::string::npos;
        return number || text == "start" ? std::string() : "a number or 'start' is expected";
      });
  app.add_option("--until", flags.until, "end after this Seq");
  app.add_option("--count", flags.count, "end after so many row changes")
      ->check(CLI::PositiveNumber);
  app.add_flag("--nodes", flags.nodes, "also who joins and leaves");
  if (const auto code = csa::parse_cli(app, argc, argv)) return *code;

  const csa::StopSignals signals;
  const csa::Log log = csa::stderr_log("csa-sub", flags.common.log_level);
  auto caller =
      csa::Caller::start(flags.common, {csa::Role::kMonitor, "csa-sub", true, flags.nodes}, log);
  if (!caller) return csa::report_error("csa-sub", caller.error());
  csa::TailOptions tail;
  tail.tables = {flags.tables.begin(), flags.tables.end()};
  tail.ops = {flags.ops.begin(), flags.ops.end()};
  if (flags.until) tail.until = csa::Seq{*flags.until};
  tail.count = flags.count;
  tail.json = flags.common.json;
  tail.colour = csa::colour_wanted(STDOUT_FILENO);
  const int code = csa::Sub(flags, tail, **caller, signals).run();
  (*caller)->leave();
  return csa::finish_output("csa-sub", std::cout, code);
}
