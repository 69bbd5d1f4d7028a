// Calls linked in the place of the C library's. Those by which csa itself writes and reads files
// without SQLite (downloads, full copies in the spool, spilled changes) meet what the simulated
// disks do, and a computer may die at them. What the kernel draws by chance and what time it is
// (for the names of files that are kept) follow from the seed.
#include <fcntl.h>
#include <sys/random.h>
#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "tests/sim/sim_disk.h"
#include "tests/sim/world.h"

namespace {

// False: it fails, and errno says how.
bool works(int file, csa::sim::SimDisk::Kind kind) {
  const int error = csa::sim::SimDisk::raw(file, kind);
  if (error != 0) errno = error;
  return error == 0;
}

}  // namespace

extern "C" {

ssize_t __real_pwrite(int file, const void* bytes, size_t size, off_t offset);
ssize_t __real_pread(int file, void* bytes, size_t size, off_t offset);
int __real_fsync(int file);
int __real_ftruncate(int file, off_t size);
ssize_t __real_getrandom(void* bytes, size_t size, unsigned flags);

ssize_t __wrap_pwrite(int file, const void* bytes, size_t size, off_t offset) {
  if (!works(file, csa::sim::SimDisk::kWrite)) return -1;
  return __real_pwrite(file, bytes, size, offset);
}

ssize_t __wrap_pread(int file, void* bytes, size_t size, off_t offset) {
  if (!works(file, csa::sim::SimDisk::kRead)) return -1;
  return __real_pread(file, bytes, size, offset);
}

int __wrap_fsync(int file) {
  if (csa::sim::World::present() == nullptr) return __real_fsync(file);
  return works(file, csa::sim::SimDisk::kSync) ? 0 : -1;
}

int __wrap_ftruncate(int file, off_t size) {
  return works(file, csa::sim::SimDisk::kTruncate) ? __real_ftruncate(file, size) : -1;
}

ssize_t __wrap_getrandom(void* bytes, size_t size, unsigned flags) {
  csa::sim::World* const world = csa::sim::World::present();
  if (world == nullptr) return __real_getrandom(bytes, size, flags);
  world->fill(bytes, size);
  return static_cast<ssize_t>(size);
}

using std::chrono::system_clock;
system_clock::time_point __real__ZNSt6chrono3_V212system_clock3nowEv();

system_clock::time_point __wrap__ZNSt6chrono3_V212system_clock3nowEv() {
  const csa::sim::World* const world = csa::sim::World::present();
  if (world == nullptr) return __real__ZNSt6chrono3_V212system_clock3nowEv();
  return system_clock::time_point(std::chrono::milliseconds(world->wall().ms));
}

}  // extern "C"
