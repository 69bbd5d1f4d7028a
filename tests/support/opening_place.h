// A folder with a place for one database, and steps that tests of opening.h have in common.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "broker/opening.h"
#include "common/host.h"
#include "common/random.h"
#include "common/store_meta.h"
#include "common/system_clock.h"
#include "tests/support/scratch_folder.h"

namespace csa::opening {

namespace fs = std::filesystem;

inline constexpr const char* kPartSchema =
    "CREATE TABLE part (id INTEGER PRIMARY KEY, name TEXT);"
    "INSERT INTO part (name) VALUES ('bolt'), ('nut');";

inline Randomness real() {
  return {[] { return random_id(); }, [boot = boot_hash()] { return local_now(boot); }};
}

inline std::string bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

struct Place {
  ScratchFolder folder;
  std::string path = folder.file("shop.db");
  DatabaseName name{path, "csa", "shop"};

  Meta created() const {
    const Result<Meta> meta = create(name, {kPartSchema}, real());
    REQUIRE_MESSAGE(meta.has_value(), (meta ? "" : meta.error().what));
    return *meta;
  }
  void plain(const std::string& sql) const {
    const Database db(path, Database::Mode::kCreate);
    db.exec(sql);
  }
  void change(const std::string& sql) const {
    const Database db(path, Database::Mode::kReadWrite);
    db.exec(sql);
  }
  [[nodiscard]] Finding found(bool thorough = false) const {
    const Report report = inspect(name, thorough);
    if (report.finding != Finding::kSound) {
      CHECK(report.sentence.find(path) != std::string::npos);
      CHECK(!to_error(report).what.empty());
    }
    return report.finding;
  }
  [[nodiscard]] std::int64_t count(const std::string& sql) const {
    const Database db(path, Database::Mode::kReadOnly);
    return db.query_int(sql).value_or(-1);
  }
  [[nodiscard]] std::vector<std::string> kept() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder.path())) {
      const std::string file = entry.path().filename().string();
      if (file.find(".kept-") != std::string::npos) names.push_back(file);
    }
    return names;
  }
};

}  // namespace csa::opening
