#include "common/text_file.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace csa {

// Not by a stream: that opens a directory, and then tells an empty text or throws.
Result<std::string> read_text_file(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"),
                                                             std::fclose);
  std::string text;
  std::array<char, 65536> block{};
  if (file) errno = 0;
  while (file) {
    const std::size_t size = std::fread(block.data(), 1, block.size(), file.get());
    text.append(block.data(), size);
    if (size < block.size()) break;
  }
  if (file && std::ferror(file.get()) == 0) return text;
  return Error{Errc::kFailed, "cannot read " + path + ": " + std::strerror(errno)};
}

}  // namespace csa
