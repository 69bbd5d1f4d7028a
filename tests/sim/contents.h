// What databases of a simulated cluster hold, as one hash each: asked after every step, so files
// stay open between the questions, and one that nobody wrote to is not read again.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "common/sqlite.h"

namespace csa::sim {

class Contents {
 public:
  // Hash of all rows, rowids and types of all application tables and of sqlite_sequence.
  [[nodiscard]] std::string of(const std::string& path);
  // Prepared once for each file. Valid until the next call of close(), or for another file's.
  [[nodiscard]] Statement& question(const std::string& path, const std::string& sql);
  // A program's end must find the file as if it had been alone with it.
  void close(const std::string& path) { views_.erase(path); }

 private:
  struct View {
    Database db;
    ::ino_t file = 0;
    std::int64_t version = -1;  // SQLite's data_version when it was read
    std::string hash;
    std::string schema;
    std::vector<Statement> questions;
    std::map<std::string, Statement> others;
    Statement version_asked;
    Statement schema_asked;
  };
  View& view_of(const std::string& path);
  void open(View& view, const std::string& path);
  void read(View& view);

  std::map<std::string, View> views_;
  std::string text_;  // kept for its memory
};

}  // namespace csa::sim
