#include "common/text_file.h"

#include <doctest/doctest.h>

#include "tests/support/scratch_folder.h"

namespace csa::test::text_file_test {

TEST_CASE("text file: it is missing or a folder, the reason is told") {
  const ScratchFolder folder;
  const Result<std::string> missing = read_text_file(folder.file("none.sql"));
  REQUIRE(!missing);
  CHECK(missing.error().what.find("none.sql: No such file") != std::string::npos);
  const Result<std::string> directory = read_text_file(folder.path());
  REQUIRE(!directory);
  CHECK(directory.error().what.find("directory") != std::string::npos);
}

}  // namespace csa::test::text_file_test
