// Who goes first when processors are short. Only a wish: without the right to it (root,
// CAP_SYS_NICE) going first is not given, and nothing else changes.
#pragma once

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace csa {

enum class ThreadPriority : int {
  kFirst = -5,      // work that is short and waited for: signs of life
  kBackground = 5,  // long work that nobody waits for with the clock in hand
};

// For the calling thread, and for threads that it starts later.
inline void set_thread_priority(ThreadPriority priority) {
  // On Linux a nice value belongs to the thread. A refusal leaves it as it is.
  const auto thread = static_cast<id_t>(::syscall(SYS_gettid));
  if (::setpriority(PRIO_PROCESS, thread, static_cast<int>(priority)) != 0) return;
}

}  // namespace csa
