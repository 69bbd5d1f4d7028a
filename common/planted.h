// Known-wrong behaviour that a test plants, and places at which a test ends the process: how the
// tests show that they would see a fault. Only in a build with CSA_PLANTED (the tests' presets);
// elsewhere both are nothing, to the compiler too. A name that is not listed does not compile.
#pragma once

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>

#include "common/planted_names.h"

namespace csa {

// One of `names`, as proved by the compiler; get() is its place there.
template <const auto& names>
class ListedName {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): a literal stands for it.
  consteval ListedName(const char* name)
      : place_(std::find(names.begin(), names.end(), std::string_view(name)) - names.begin()) {
    if (place_ == static_cast<std::ptrdiff_t>(names.size())) throw "this name is not listed";
  }
  [[nodiscard]] constexpr std::size_t get() const { return static_cast<std::size_t>(place_); }

 private:
  std::ptrdiff_t place_;
};

using BugName = ListedName<kPlantedBugs>;
using CrashPointName = ListedName<kCrashPoints>;

#ifdef CSA_PLANTED
// Is this bug planted now? From any thread.
[[nodiscard]] bool planted(BugName bug);
// One at a time; an empty name: none. False: no bug has that name. Programs take it from
// CSA_PLANT_BUG.
bool plant(std::string_view bug);

// The process may end here, as kill -9 would end it: programs do at the Nth passing of the label in
// CSA_CRASH_AT=LABEL[:N]. The simulator is called instead, and throws.
void crash_point(CrashPointName label);
void on_crash_point(std::function<void(std::string_view label)> called);
#else
[[nodiscard]] constexpr bool planted(BugName) { return false; }
constexpr void crash_point(CrashPointName) {}
#endif

}  // namespace csa
