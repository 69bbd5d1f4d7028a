// What is there when a broker wants to open its database, in words, and the ways to get a sound
// one: create, adopt, restore. Every way works on a file beside the final one and renames it at the
// end, or changes the file in one transaction: a crash leaves the old state or the new one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/rules_text.h"
#include "common/schema.h"
#include "common/sqlite.h"
#include "common/store_meta.h"

namespace csa {

enum class Finding : std::uint8_t {
  kSound,
  kMissing,
  kNotSqlite,
  kDamaged,     // SQLite's own check fails, or csa's tables contradict themselves
  kNotAdopted,  // a sound SQLite database without csa's tables
  kOtherApp,    // shared under another --app or --group
  kNewer,       // made by a newer csa
  kUnreadable,  // permissions, a directory, a network file system, locked by another program
  kInUse,       // a broker or a node has it open
  kCopy,        // csa's tables, but no master: a node's replica, or a backup not yet restored
};

enum class Way : std::uint8_t { kCreate, kAdopt, kRestore, kOther };

struct WayOut {
  Way way = Way::kOther;
  std::string title;      // for the menu: "Create a new database from a schema"
  std::string command;    // to copy: "csa-broker create --db … --schema FILE.sql"
  std::string file = {};  // what to adopt or to restore from; empty: a person must name it
};

struct Report {
  Finding finding = Finding::kSound;
  std::string sentence;              // what is wrong, with the file's name
  std::vector<std::string> details;  // lines of integrity_check, ...
  std::vector<WayOut> ways_out;
  Meta meta;  // where finding is kSound
};

struct DatabaseName {
  std::string path;
  std::string app;
  std::string group;
};

// Reads only. `thorough` runs integrity_check (csa-broker check, adopt, restore), else a quick
// look.
[[nodiscard]] Report inspect(const DatabaseName& name, bool thorough);

// A bit of the -wal that the disk keeps wrongly is put right; `held`, from keep_open(), is opened
// anew then. For people; empty: nothing was wrong. kDamaged: commits at its end cannot be read.
[[nodiscard]] Result<std::string> put_wal_right(const DatabaseName& name,
                                                std::unique_ptr<Database>& held);
// The database open for reading, with nothing read: while anybody has it open, SQLite reads a large
// -wal once, else anew for each who opens it. Nothing where it cannot be opened; inspect() says
// why.
[[nodiscard]] std::unique_ptr<Database> keep_open(const DatabaseName& name);

// The finding as a failure: its kind gives the exit code, its text is the sentence. REQUIRES:
// finding is not kSound.
[[nodiscard]] Error to_error(const Report& report);

struct Randomness {  // ids and time, from outside
  std::function<Id128()> random_id;
  std::function<LocalTime()> local_now;
};

// Rules of merging that a file asks for.
struct RulesFile {
  std::string file;  // its name, for errors
  std::vector<RuleLine> lines;
};

// A new database from schema files' text, in order. Fails if the file exists.
[[nodiscard]] Result<Meta> create(const DatabaseName& name, const std::vector<std::string>& schemas,
                                  const Randomness& from, const RulesFile& rules = {});

struct Adoption {
  Meta meta;
  std::vector<std::string> remarks;      // rows that violate foreign keys: kept as they are
  bool already = false;                  // was adopted before: nothing changed, no rules either
  std::vector<Unshareable> unshareable;  // not empty: nothing was touched
};
[[nodiscard]] Result<Adoption> adopt(const DatabaseName& name, const Randomness& from,
                                     const RulesFile& rules = {});

// What restore() made of a replica with a damaged journal.
struct AsIs {
  std::string damage;            // a sentence; empty: of offers alone
  std::uint64_t changes = 0;     // offline transactions that are in the tables and were not merged
  std::uint64_t unreadable = 0;  // of them
  std::uint64_t offers = 0;      // transactions of a lost history that cannot be offered any more
  std::uint64_t spooled = 0;     // of the former master, fetched and not applied: left out
  std::string kept_as;           // the replica as it was
};

// From a backup or from a node's replica; the next generation after the highest of both files. What
// waits in the replica's journal is merged under its TxIds; a program may have the replica open:
// what it journals later it hands over itself. `from_file` itself is not changed. An existing file
// at name.path is kept beside it under a dated name, told in the result's text.
struct Restoration {
  Meta meta;
  std::string kept_as;               // empty: there was none
  std::uint64_t journaled = 0;       // transactions of the replica's journal that were merged
  std::uint64_t inbox = 0;           // rows of them that are in the inbox
  std::optional<AsIs> as_is;         // nothing: the journal was sound
  std::vector<std::string> remarks;  // a -wal that the disk keeps wrongly
};
// Of a damaged journal kNo makes an Error; kAsIs takes the tables as they stand, with the offline
// changes in them, and keeps a copy of the replica beside name.path. So of commits at the end of
// from_file's -wal that cannot be read: kAsIs leaves them out.
enum class DamagedJournal : std::uint8_t { kNo, kAsIs };
[[nodiscard]] Result<Restoration> restore(const DatabaseName& name, const std::string& from_file,
                                          const Randomness& from,
                                          DamagedJournal damaged = DamagedJournal::kNo);

// The lock that makes one broker the owner of a database; released by the destructor.
class BrokerLock {
 public:
  // Error: kRefused where another broker, or a node, owns the file.
  [[nodiscard]] static Result<BrokerLock> take(const std::string& path);
  // Whether somebody has it at this moment, this process included.
  [[nodiscard]] static bool is_taken(const std::string& path);
  BrokerLock(const BrokerLock&) = delete;
  BrokerLock& operator=(const BrokerLock&) = delete;
  BrokerLock(BrokerLock&& other) noexcept;
  BrokerLock& operator=(BrokerLock&& other) noexcept;
  ~BrokerLock();

 private:
  explicit BrokerLock(int file) : file_(file) {}
  int file_ = -1;
};

}  // namespace csa
