#include "common/file_link.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tests/support/scratch_folder.h"

namespace csa::test::file_link_test {

namespace fs = std::filesystem;

TEST_CASE("file link: links are followed to the file, there or not; other names stay") {
  const ScratchFolder folder;
  fs::create_directory(folder.file("real"));
  fs::create_symlink("real/d.db", folder.file("near.db"));
  fs::create_symlink("../near.db", folder.file("real/far.db"));
  fs::create_symlink(folder.file("real/far.db"), folder.file("whole.db"));
  fs::create_directory_symlink("real", folder.file("way"));
  CHECK(follow_links(folder.file("near.db")).value() == folder.file("real/d.db"));
  CHECK(follow_links(folder.file("whole.db")).value() == folder.file("real/../real/d.db"));
  CHECK(follow_links(folder.file("way/d.db")).value() == folder.file("way/d.db"));
  CHECK(follow_links("d.db").value() == "d.db");
  CHECK(follow_links("").value().empty());
}

TEST_CASE("file link: a circle, refused by name") {
  const ScratchFolder folder;
  fs::create_symlink("b.db", folder.file("a.db"));
  fs::create_symlink("a.db", folder.file("b.db"));
  const Result<std::string> circle = follow_links(folder.file("a.db"));
  REQUIRE(!circle);
  CHECK(circle.error().what.find(folder.file("a.db")) != std::string::npos);
}

}  // namespace csa::test::file_link_test
