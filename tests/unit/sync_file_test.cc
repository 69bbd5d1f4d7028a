#include "common/sync_file.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

namespace csa::sync_file_test {
namespace {

namespace fs = std::filesystem;

template <int Code>
int refused(const char* /*from*/, const char* /*to*/) {
  errno = Code;
  return -1;
}

struct Folder {
  Folder() : path(fs::temp_directory_path() / ("csa-sync-file-" + std::to_string(::getpid()))) {
    fs::create_directories(path);
    part = path / "copy.db.part";
    name = path / "copy.db";
    std::ofstream(part) << "whole";
  }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string at_name() const {
    std::string text;
    std::ifstream(name) >> text;
    return text;
  }

  fs::path path;
  fs::path part;
  fs::path name;
};

}  // namespace

TEST_CASE("sync file: a finished file gets its name, by every way that a file system has") {
  const auto rename_new = kNamingCalls.rename_new;
  for (const NamingCalls& calls :
       {kNamingCalls, NamingCalls{refused<EPERM>, rename_new},
        NamingCalls{refused<EOPNOTSUPP>, rename_new}, NamingCalls{refused<EPERM>, refused<EINVAL>},
        NamingCalls{refused<EPERM>, refused<ENOSYS>}}) {
    const bool links = calls.link == kNamingCalls.link;
    CAPTURE(links);
    {
      const Folder folder;
      const Named named = name_finished(folder.part, folder.name, calls);
      CHECK(named.error == 0);
      CHECK(named.moved == !links);
      CHECK(fs::exists(folder.part) == links);
      CHECK(folder.at_name() == "whole");
    }
    const Folder folder;
    std::ofstream(folder.name) << "before";
    const Named named = name_finished(folder.part, folder.name, calls);
    CHECK(named.error == EEXIST);
    CHECK(!named.moved);
    CHECK(fs::exists(folder.part));
    CHECK(folder.at_name() == "before");
  }
}

TEST_CASE("sync file: a name that cannot be given leaves nothing under it") {
  const Folder folder;
  for (const NamingCalls& calls : {NamingCalls{refused<EIO>, kNamingCalls.rename_new},
                                   NamingCalls{refused<EPERM>, refused<EIO>}}) {
    CHECK(name_finished(folder.part, folder.name, calls).error == EIO);
    CHECK(!fs::exists(folder.name));
  }
  const NamingCalls none{refused<EPERM>, refused<EINVAL>};
  CHECK(name_finished(folder.path / "not there", folder.name, none).error == ENOENT);
  CHECK(!fs::exists(folder.name));
}

}  // namespace csa::sync_file_test
