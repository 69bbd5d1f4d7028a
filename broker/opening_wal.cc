// What SQLite would leave out of a -wal without a word: broker/opening.h, put_wal_right().
#include "broker/opening.h"
#include "broker/opening_files.h"
#include "common/counted.h"
#include "common/wal_mend.h"

namespace csa {

Result<std::string> put_wal_right(const DatabaseName& name, std::unique_ptr<Database>& held) try {
  const bool there = exists(name.path) && exists(name.path + "-wal");
  if (!there || BrokerLock::is_taken(name.path)) return std::string();
  if (held && !wal_holds_more(*held, name.path)) return std::string();
  held.reset();
  const MendedWal mended = mend_wal(name.path);
  held = keep_open(name);
  // The last one, torn by a power cut, was not answered.
  if (mended.certain || mended.behind > 1) {
    return Error{Errc::kDamaged,
                 name.path +
                     " is damaged: the disk keeps its -wal wrongly, and commits at its end,"
                     " which may have been answered, cannot be read. Nothing was done."
                     " A node that was up to date has them:\n  " +
                     broker_command("restore", name, "--from REPLICA") +
                     "\nTo go on without them, as a new history:\n  " +
                     broker_command("restore", name, "--from " + shell_word(name.path))};
  }
  if (mended.bits == 0) return std::string();
  return "the disk keeps " + counted(mended.bits, "bit", "bits") + " of " + name.path +
         "-wal wrongly, by its checksums: put right. Look after the disk";
} catch (const SqliteError& error) {
  return error_of(error, name.path);
}

}  // namespace csa
