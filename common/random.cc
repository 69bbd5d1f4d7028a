#include "common/random.h"

#include <sys/random.h>

#include <cerrno>
#include <system_error>

namespace csa {
namespace {

void fill(void* bytes, std::size_t size) {
  // Up to 256 bytes arrive whole or not at all (getrandom(2)).
  if (::getrandom(bytes, size, 0) != static_cast<ssize_t>(size)) {
    throw std::system_error(errno, std::generic_category(), "getrandom");
  }
}

}  // namespace

Id128 random_id() {
  Id128 id;
  fill(id.bytes.data(), id.bytes.size());
  return id;
}

std::uint64_t random_u64() {
  std::uint64_t number = 0;
  fill(&number, sizeof number);
  return number;
}

}  // namespace csa
