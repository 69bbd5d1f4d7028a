// A master without a broker, for tests of the replica's side: runs SQL, captures it, keeps log and
// meta, and gives out pieces and full copies. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/capture.h"
#include "common/message.h"
#include "common/sqlite.h"
#include "common/store_meta.h"

namespace csa {

class HandMaster {
 public:
  // A new database in `folder` with the statements of `schema`; `pragmas` come before everything.
  HandMaster(const std::string& folder, const std::string& schema,
             const std::string& pragmas = "PRAGMA page_size=4096");
  ~HandMaster();
  HandMaster(const HandMaster&) = delete;
  HandMaster& operator=(const HandMaster&) = delete;

  void exec(std::string_view sql);                 // one transaction
  void migrate(const std::string& sql);            // one schema statement
  void append_copy_entry(const std::string& sql);  // a change that cannot be repeated

  // The parts of all entries after `seq`, none larger than `piece_max`.
  [[nodiscard]] std::vector<LogPiece> after(Seq seq, std::size_t piece_max = 256 * 1024);
  struct Copy {
    SnapshotEnd end;
    Bytes bytes;
  };
  [[nodiscard]] Copy copy();

  [[nodiscard]] const Database& db() const { return db_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] Meta& meta() { return meta_; }  // written with the next transaction

 private:
  void end_entry(EntryKind kind);

  std::string folder_;
  std::string path_;
  Database db_;
  Meta meta_;
  std::unique_ptr<LogTable> log_;
  std::unique_ptr<Capture> capture_;
};

// Schema and all rows with rowids, types and sqlite_sequence, csa's own tables left out.
[[nodiscard]] std::string content_of(const Database& db);

}  // namespace csa
