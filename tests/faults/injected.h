// Programs whose system calls fail, or end them, at a chosen one: strace's injection.
#pragma once

#include <string>
#include <vector>

#include "node/client.h"
#include "tests/system/load.h"
#include "tests/system/place.h"

namespace csa::fault_test {

using system_test::Launch;
using system_test::Place;
using system_test::Program;
using system_test::Ready;
using system_test::Words;

// False, and says so, where strace is missing or may not trace.
[[nodiscard]] bool can_inject();

// The same launch with strace's rule, as in "fdatasync:signal=KILL:when=3". The N of `when` is
// counted by thread: the first thread that comes so far is hit. The program's pid is its own.
[[nodiscard]] Launch injected(Launch launch, const std::string& rule);
// csa-broker serve on the ports of `ready`, not waited for.
[[nodiscard]] Launch injected_broker(const Place& place, const Ready& ready,
                                     const std::string& rule);
// strace for a program that runs: its calls are counted from now on. Ends with it, or detaches.
[[nodiscard]] Program attach(const Program& program, const std::string& rule);
// The same, for one that is stopped (SIGSTOP): all its calls are counted once it goes on.
[[nodiscard]] Program attach_stopped(const Program& program, const std::string& rule);
[[nodiscard]] std::string kill_at(const std::string& call, int n);

// The exit code of a program that kill -9 has ended.
inline constexpr int kKilled = 128 + 9;

// What must hold in every copy after any fault, the nodes calm: equal, whole, nothing waits.
void check_copies(const Place& place, const std::vector<std::string>& replicas);
// No write was refused but after rows had got other numbers as journals were merged: that one is to
// be repeated by whoever knows of them. REQUIRES: stopped.
void check_rejections(const system_test::Load& load);
// Of "ID:SEQ", as a broker's ready line tells it.
[[nodiscard]] std::string epoch_of(const std::string& position);
// Live, and everything handed over.
[[nodiscard]] bool is_calm(Client& client);

}  // namespace csa::fault_test
