// Result<T>: a value, or what went wrong. For what a peer, a person or a file can cause; exceptions
// are for the disk and the kernel, CSA_CHECK for ourselves. Mirrors std::expected's names, so that
// C++23 can replace it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "common/check.h"

namespace csa {

// The kind of a failure, as far as a caller decides by it. Tools map it to exit codes.
enum class Errc : std::uint8_t {
  kFailed = 1,          // anything that has no kind of its own
  kUsage = 2,           // the call is wrong
  kNothing = 3,         // nothing to work on: no broker, no replica, no database
  kRefused = 4,         // version, group, database, second broker or owner
  kRejected = 5,        // the write: constraint, rule, limit
  kUnknownOutcome = 6,  // nobody can say what became of the write
  kDamaged = 7,         // a file or frame is not what it should be
  kMalformed = 8,       // bytes that do not decode
  kUnknownType = 9,     // a well-formed frame of a type this version does not know
  kTimeout = 10,
};

// `what` is a sentence for people: which step failed, why, and what to do where that is known.
struct Error {
  Errc code = Errc::kFailed;
  std::string what;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  // REQUIRES: has_value().
  [[nodiscard]] T& value() & {
    CSA_CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] const T& value() const& {
    CSA_CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] T&& value() && {
    CSA_CHECK(has_value());
    return std::move(*std::get_if<0>(&state_));
  }
  [[nodiscard]] T& operator*() & { return value(); }
  [[nodiscard]] const T& operator*() const& { return value(); }
  [[nodiscard]] T&& operator*() && { return std::move(*this).value(); }
  [[nodiscard]] T* operator->() { return &value(); }
  [[nodiscard]] const T* operator->() const { return &value(); }

  // REQUIRES: !has_value().
  [[nodiscard]] const Error& error() const {
    CSA_CHECK(!has_value());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

struct Ok {};
using Status = Result<Ok>;

}  // namespace csa

// Leaves the function with the error of `expression` (a Result), else goes on.
#define CSA_TRY(expression)                                               \
  do {                                                                    \
    if (auto csa_try_ = (expression); !csa_try_) return csa_try_.error(); \
  } while (false)
