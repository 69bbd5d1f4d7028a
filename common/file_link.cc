#include "common/file_link.h"

#include <filesystem>

namespace csa {
namespace {

constexpr int kLinksMax = 40;  // as the kernel's

}  // namespace

Result<std::string> follow_links(const std::string& path) {
  std::filesystem::path at = path;
  for (int i = 0; i < kLinksMax; ++i) {
    std::error_code none;
    const std::filesystem::path target = std::filesystem::read_symlink(at, none);
    // What else is wrong with it, who opens it finds.
    if (none) return at.string();
    at = at.parent_path() / target;
  }
  return Error{Errc::kFailed,
               path + " is a symbolic link that leads in a circle; name the file itself"};
}

}  // namespace csa
