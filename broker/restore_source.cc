#include "broker/restore_source.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <vector>

#include "broker/opening_files.h"
#include "common/integrity.h"

namespace csa {
namespace {

// What csa_meta says that others in the file contradict.
std::optional<std::string> wrong_meta(const Database& db, const Meta& meta) {
  const bool replica = read_private(db, kRoleKey) == kRoleNode;
  const std::optional<std::string> named = read_private(db, kNodeDbKey);
  const std::string way =
      "; csa-node puts one bit right: csa-node run --replica with a copy of the file, without a"
      " broker, then restore from that copy";
  if (replica && named && *named != to_string(meta.db)) {
    return "csa_meta speaks of another database than csa_private" + way;
  }
  const std::optional<Epoch> proved = proved_epoch(db);
  if (!proved || *proved == meta.position.epoch) return std::nullopt;
  const bool known =
      replica && read_private(db, kNodeGenerationKey) == std::to_string(proved->generation);
  return "csa_meta speaks of another history than csa_epoch" + (known ? way : "");
}

void as_far_as_readable(const std::function<void()>& read) try {
  read();
} catch (const SqliteError&) {
}

}  // namespace

Result<Meta> sound_meta(const Database& db, const DatabaseName& name, const std::string& from) {
  const std::vector<std::string> faults = integrity_faults(db, IntegrityCheck::kFull, 1);
  if (!faults.empty()) {
    return Error{Errc::kDamaged, from + " is damaged (" + faults[0] +
                                     "); take another backup, or the replica of another node"};
  }
  if (!has_tables(db)) {
    return Error{Errc::kFailed, from + " was never shared. To begin with it, copy it to " +
                                    name.path + ", then: " + broker_command("adopt", name, "")};
  }
  if (!has_meta(db)) {
    return Error{Errc::kNothing, from + " is a replica that never received a copy: it is empty"};
  }
  Result<Meta> meta = read_meta(db);
  if (!meta) return Error{meta.error().code, from + ": " + meta.error().what};
  std::optional<std::string> fault = unsound_row(db);
  if (!fault) fault = wrong_meta(db, *meta);
  if (fault) {
    return Error{Errc::kDamaged, from + " is damaged (" + *fault +
                                     "); take another backup, or the replica of another node"};
  }
  if (meta->app != name.app || meta->group != name.group) {
    return Error{Errc::kRefused, from + " belongs to application \"" + meta->app + "\", group \"" +
                                     meta->group + "\", not to \"" + name.app + "\", \"" +
                                     name.group + "\"; name them with --app and --group"};
  }
  return meta;
}

std::uint64_t highest_generation(const Database& db) {
  // Above it a row is a wrong one, and SQL has no numbers for the next.
  constexpr std::uint64_t kLimit = std::uint64_t{1} << 62;
  std::uint64_t highest = 0;
  const auto take = [&highest](std::uint64_t generation) {
    if (generation < kLimit) highest = std::max(highest, generation);
  };
  as_far_as_readable([&] {
    if (const Result<Meta> meta = read_meta(db)) take(meta->position.epoch.generation);
  });
  as_far_as_readable([&] {
    for (const EpochRecord& record : read_epochs(db)) take(record.epoch.generation);
  });
  return highest;
}

std::uint64_t generation_in(const std::string& present) {
  const std::string path = exists(present) ? present : newest_kept(present);
  if (path.empty()) return 0;
  try {
    const Database db(path, Database::Mode::kReadOnly);
    sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    return highest_generation(db);
  } catch (const SqliteError&) {
    return 0;
  }
}

}  // namespace csa
