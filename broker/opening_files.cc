#include "broker/opening_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "common/planted.h"

namespace csa {
namespace {

namespace fs = std::filesystem;

Error failed(const std::string& step, int code) {
  return {Errc::kFailed, "cannot " + step + ": " + std::strerror(code)};
}

std::string folder_of(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

Status sync(const std::string& path, int flags) {
  const int file = ::open(path.c_str(), flags | O_CLOEXEC);
  if (file < 0) return failed("open " + path, errno);
  const int code = ::fsync(file) == 0 ? 0 : errno;
  ::close(file);
  // Some file systems cannot sync a folder; there is nothing better to do on them.
  if (code != 0 && code != EINVAL) return failed("write " + path + " to the disk", code);
  return Ok{};
}

// An errno: EEXIST where `to` is there.
int rename_new(const std::string& from, const std::string& to) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  // A link fails where the name is taken, like the call above.
  if (::link(from.c_str(), to.c_str()) != 0) return errno;
  ::unlink(from.c_str());
  return 0;
}

// A second name, or a copy where a file can have one name only; on the disk once the folder is.
Status keep_too(const std::string& from, const std::string& to) {
  CSA_TRY(sync(from, O_RDONLY));
  if (::link(from.c_str(), to.c_str()) == 0) return Ok{};
  if (errno == EEXIST) return failed("keep " + from + " as " + to, EEXIST);
  std::error_code error;
  fs::copy_file(from, to, error);
  if (error) return failed("keep " + from + " as " + to, error.value());
  return sync(to, O_RDONLY);
}

}  // namespace

bool exists(const std::string& path) {
  struct stat about {};
  return ::lstat(path.c_str(), &about) == 0;
}

std::string shell_word(std::string_view text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string_view::npos) {
    return std::string(text);
  }
  std::string word = "'";
  for (const char c : text) {
    if (c == '\'') {
      word += "'\\''";
    } else {
      word += c;
    }
  }
  return word + "'";
}

std::string broker_command(std::string_view verb, const DatabaseName& name, std::string_view rest) {
  std::string command = "csa-broker " + std::string(verb) + " --db " + shell_word(name.path);
  if (name.app != "csa") command += " --app " + shell_word(name.app);
  if (name.group != "default") command += " --group " + shell_word(name.group);
  if (!rest.empty()) command.append(" ").append(rest);
  return command;
}

std::string building_site(const std::string& path) { return path + ".csa-new"; }

void remove_database(const std::string& path) {
  for (const char* const ending : {"", "-wal", "-shm", "-journal"}) {
    ::unlink((path + ending).c_str());
  }
}

void remove_shared_memory(const std::string& path) { ::unlink((path + "-shm").c_str()); }

Status move_in(const std::string& from, const std::string& to) {
  CSA_TRY(sync(from, O_RDONLY));
  const int code = rename_new(from, to);
  if (code == EEXIST) return Error{Errc::kFailed, to + " exists already; nothing was changed"};
  if (code != 0) return failed("give " + from + " the name " + to, code);
  crash_point("opening: named");
  return sync(folder_of(to), O_RDONLY | O_DIRECTORY);
}

Status swap_in(const std::string& from, const std::string& to, const std::string& kept) {
  CSA_TRY(sync(from, O_RDONLY));
  // First the new file gets the name of the old one to be: whatever ends us now or after the swap,
  // no file has a name under which it would be removed as a leftover.
  if (const int code = rename_new(from, kept); code != 0) {
    return failed("use the name " + kept, code);
  }
  crash_point("opening: between two names");
  if (::renameat2(AT_FDCWD, kept.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) != 0) {
    const std::string aside = kept + ".old";
    if (::rename(to.c_str(), aside.c_str()) != 0) return failed("keep " + to + " aside", errno);
    if (::rename(kept.c_str(), to.c_str()) != 0) return failed("name the new database", errno);
    if (::rename(aside.c_str(), kept.c_str()) != 0) return failed("name " + kept, errno);
  }
  crash_point("opening: swapped");
  return sync(folder_of(to), O_RDONLY | O_DIRECTORY);
}

Status put_aside(const std::string& path, const std::string& kept) {
  // Its -wal goes last: without it the file may pass for a sound one that never had its commits.
  const auto each = [&](const auto& call) -> Status {
    for (const char* const ending : {"-wal", "-journal"}) {
      if (exists(path + ending)) CSA_TRY(call(path + ending, kept + ending));
    }
    return sync(folder_of(path), O_RDONLY | O_DIRECTORY);
  };
  Status named = each(keep_too);
  if (named) named = move_in(path, kept);
  if (!named) {
    if (!exists(path)) return named;
    for (const char* const ending : {"-wal", "-journal"}) ::unlink((kept + ending).c_str());
    return named;
  }
  remove_shared_memory(path);
  return each([](const std::string& from, const std::string&) -> Status {
    if (::unlink(from.c_str()) == 0) return Ok{};
    return failed("remove " + from + ", which is kept under another name", errno);
  });
}

std::string newest_kept(const std::string& path) {
  const std::string own = fs::path(path).filename().string();
  const std::string start = own + std::string(kKeptEnding);
  std::string newest;
  std::error_code error;
  for (fs::directory_iterator it(folder_of(path), error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    const bool beside =
        name.ends_with("-wal") || name.ends_with("-shm") || name.ends_with("-journal");
    if (!name.starts_with(start) || beside) continue;
    newest = std::max(newest, path + name.substr(own.size()));
  }
  return newest;
}

Status check_no_leftovers(const std::string& path) {
  for (const char* const ending : {"-wal", "-journal"}) {
    struct stat about {};
    const std::string name = path + ending;
    if (::stat(name.c_str(), &about) != 0) continue;
    // Empty, or put_aside() was ended before it took this name away.
    if (about.st_size == 0 || about.st_nlink > 1) {
      ::unlink(name.c_str());
      continue;
    }
    return Error{Errc::kFailed,
                 name + " is left of an earlier database, and SQLite would mix it into the new" +
                     " one. Put its database back beside it, or move it away: mv " +
                     shell_word(name) + " " + shell_word(name + ".old")};
  }
  return Ok{};
}

Trouble trouble_of(const SqliteError& error, const std::string& path) {
  const std::string said = std::string(" (") + error.what() + ")";
  switch (error.primary_code()) {
    case SQLITE_NOTADB:
      return {Finding::kNotSqlite, path + " is not an SQLite database, or is encrypted"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Finding::kUnreadable,
              path + " is locked by another program" + said + "; end that program, then try again"};
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return {Finding::kUnreadable,
              path + " cannot be opened" + said +
                  "; this user must be allowed to read and write the file and its folder"};
    case SQLITE_FULL:
      return {Finding::kUnreadable,
              "no space is left on the disk of " + path + said + "; free some, then try again"};
    case SQLITE_IOERR:
      return {Finding::kUnreadable,
              "the disk of " + path + " reports errors" + said +
                  ". Free space there if it is full; else look after the disk"};
    case SQLITE_CORRUPT:
    default:
      return {Finding::kDamaged, path + " is damaged" + said};
  }
}

Error error_of(const SqliteError& error, const std::string& path) {
  Report report;
  const Trouble trouble = trouble_of(error, path);
  report.finding = trouble.finding;
  report.sentence = trouble.sentence;
  return to_error(report);
}

Status make_wal(const Database& db, const std::string& path) {
  if (db.query_text("PRAGMA journal_mode=WAL") == "wal") return Ok{};
  // SQLite keeps the old mode in silence where there is no shared memory.
  return Error{Errc::kFailed,
               "SQLite cannot use WAL mode on " + path + "; the database must lie on a local disk"};
}

}  // namespace csa
