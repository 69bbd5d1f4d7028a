// The subcommands of csa-broker. Results go to stdout, words for people to stderr; each returns the
// exit code of cli.md.
#pragma once

#include <functional>
#include <iosfwd>

#include "broker/config.h"

namespace csa {

// How a person is talked to: given from outside, so that tests can play the person.
struct Terminal {
  std::istream& in;          // answers
  std::ostream& out;         // results
  std::ostream& err;         // words
  bool interactive = false;  // in and err are a terminal: offer a menu
};
using Serve = std::function<Status(const ServeConfig&, const Log&)>;

// Runs flags.verb. REQUIRES: settle(flags) was fine.
[[nodiscard]] int run(const BrokerFlags& flags, const Terminal& terminal, const Serve& serve);

}  // namespace csa
