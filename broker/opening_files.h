// Files around a database for opening*.cc: what SQLite keeps beside it, new ones that take its
// place in one step, and SQLite's errors as findings. What the file system refuses is an Error.
#pragma once

#include <string>
#include <string_view>

#include "broker/opening.h"
#include "common/sqlite.h"

namespace csa {

// csa_private: this file is the master itself, not a copy of it.
inline constexpr std::string_view kRoleKey = "role";
inline constexpr std::string_view kRoleBroker = "broker";
inline constexpr std::string_view kRoleNode = "node";  // a replica
// Of a replica: whose it is, and the last generation that it has followed.
inline constexpr std::string_view kNodeDbKey = "db";
inline constexpr std::string_view kNodeGenerationKey = "generation_seen";

[[nodiscard]] bool exists(const std::string& path);
// One word of a shell command, quoted where that is needed.
[[nodiscard]] std::string shell_word(std::string_view text);
// "csa-broker VERB --db FILE REST", with --app and --group where they are not the default.
[[nodiscard]] std::string broker_command(std::string_view verb, const DatabaseName& name,
                                         std::string_view rest);

// Where a new database is built before it takes its name; leftovers of a crash are removed.
[[nodiscard]] std::string building_site(const std::string& path);
void remove_database(const std::string& path);
void remove_shared_memory(const std::string& path);  // of a file that no program has open
// Forces file and folder to the disk, then gives `from` the name `to`, which must be free.
[[nodiscard]] Status move_in(const std::string& from, const std::string& to);
// As move_in, and what had the name `to` is called `kept` from then on: one step where the file
// system can swap two names, else the name is free for a moment.
[[nodiscard]] Status swap_in(const std::string& from, const std::string& to,
                             const std::string& kept);
// Gives a database and what SQLite keeps beside it the name `kept`: it is never at `path` without
// its -wal. REQUIRES: no file has a name that begins with `kept`.
[[nodiscard]] Status put_aside(const std::string& path, const std::string& kept);
// What restore() has kept of the database at `path`, the last one; empty: nothing.
inline constexpr std::string_view kKeptEnding = ".kept-";
[[nodiscard]] std::string newest_kept(const std::string& path);
// "-wal" and "-journal" that would be taken for those of a new database of this name.
[[nodiscard]] Status check_no_leftovers(const std::string& path);

struct Trouble {
  Finding finding;
  std::string sentence;
};
// What SQLite said about the file at `path`.
[[nodiscard]] Trouble trouble_of(const SqliteError& error, const std::string& path);
[[nodiscard]] Error error_of(const SqliteError& error, const std::string& path);

// As inspect(), without asking whether another broker has it open. `read_only`: it will only be
// read, so nobody needs to be able to write to it.
struct Look {
  bool thorough = false;
  bool read_only = false;
};
[[nodiscard]] Report look_at(const DatabaseName& name, const Look& look);
// Rows that violate foreign keys, as lines; at most a hundred.
[[nodiscard]] std::vector<std::string> foreign_key_lines(const Database& db);

// Whether commits may lie in the -wal that SQLite does not find. Throws SqliteError.
[[nodiscard]] bool wal_is_cut(const std::string& path);
// Both files, and the -wal of the copy put right, for restore() of `name`; a remark for people, or
// empty. Error where commits cannot be read and `damaged` is kNo. Throws SqliteError.
[[nodiscard]] Result<std::string> copy_with_wal(const std::string& from, const std::string& to,
                                                const DatabaseName& name, DamagedJournal damaged);
// Puts the -wal right in its place, with a remark for people; false: commits at its end cannot be
// read. Throws SqliteError, SQLITE_BUSY where another program has the file open.
[[nodiscard]] bool mend_alone(const std::string& path, std::string& remark);

// Makes the file WAL, for every connection to come. Error: the file system or another program does
// not let it.
[[nodiscard]] Status make_wal(const Database& db, const std::string& path);

}  // namespace csa
