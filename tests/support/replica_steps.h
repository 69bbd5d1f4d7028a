// Steps that several tests of the replica share.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "node/replica.h"
#include "tests/support/hand_master.h"

namespace csa {

inline Result<std::unique_ptr<Replica>> try_open(const std::string& path) {
  return Replica::open(path, "csa", "shop", Log());
}

inline std::unique_ptr<Replica> open_replica(const std::string& path) {
  return try_open(path).value();
}

inline void fetch(Replica& replica, const HandMaster::Copy& copy) {
  constexpr std::size_t kChunk = 100'000;
  (void)replica.begin_download(copy.end.snapshot, copy.end.total, 0);
  std::uint64_t at = 0;
  while (at < copy.bytes.size()) {
    const std::size_t length = std::min<std::size_t>(kChunk, copy.bytes.size() - at);
    replica.write_chunk(at, ByteView(copy.bytes).subspan(static_cast<std::size_t>(at), length));
    at += length;
  }
}

inline Result<Applied> take_copy(Replica& replica, const HandMaster::Copy& copy) {
  fetch(replica, copy);
  return replica.install(copy.end);
}

// Everything after the replica's place, in one call.
inline Result<Applied> follow(Replica& replica, HandMaster& master) {
  return replica.apply(master.after(replica.state().position.value_or(Position{}).seq));
}

inline std::string content_of(const std::string& path) {
  return content_of(Database(path, Database::Mode::kReadOnly));
}

inline void run_sql(const std::string& path, const std::string& sql) {
  Database(path, Database::Mode::kCreate).exec(sql);
}

inline void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::vector<std::string> asides_of(const std::string& folder) {
  std::vector<std::string> asides;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string path = entry.path();
    if (path.find("-aside-") != std::string::npos) asides.push_back(path);
  }
  return asides;
}

}  // namespace csa
