// Files that people are told are kept, so that a power cut does not take them.
#pragma once

#include <string>

#include "common/result.h"

namespace csa {

// Forces a file to the disk, and the folder in which it has its name. kFailed: the disk refuses it;
// the sentence names what.
[[nodiscard]] Status sync_with_folder(const std::string& path);

// How a file gets a name that nobody has; as link(2) and renameat2(2) with RENAME_NOREPLACE.
struct NamingCalls {
  int (*link)(const char* from, const char* to);
  int (*rename_new)(const char* from, const char* to);
};
extern const NamingCalls kNamingCalls;

// Gives a finished file the name `to`, never instead of a file that has it: by a second name, or
// where the file system knows none (FAT, exFAT), by the one that it has. Where that cannot be done
// in one step either, `to` is an empty file for a moment, and stays it if the process ends there.
struct Named {
  int error = 0;       // an errno; EEXIST: the name is taken
  bool moved = false;  // `from` is there no more
};
[[nodiscard]] Named name_finished(const std::string& from, const std::string& to,
                                  const NamingCalls& calls = kNamingCalls);

}  // namespace csa
