// The subcommands of csa-broker. Results go to stdout, words for people to stderr; each returns the
// exit code of schemas/cli.md.
#pragma once

#include <functional>
#include <iosfwd>
#include <memory>
#include <optional>

#include "broker/config.h"
#include "common/sqlite.h"

namespace csa {

// How a person is talked to: given from outside, so that tests can play the person.
struct Terminal {
  std::istream& in;          // answers
  std::ostream& out;         // results
  std::ostream& err;         // words
  bool interactive = false;  // in and err are a terminal: offer a menu
};
// What needs sockets and threads, given from outside.
struct Service {
  // Begins to look for other brokers; the database is looked at meanwhile.
  std::function<void(const ServeConfig&)> look;
  std::function<Status(const ServeConfig&, std::unique_ptr<Database> held, const Log&)> serve;
};

// Runs flags.verb. REQUIRES: settle(flags) was fine.
[[nodiscard]] int run(const BrokerFlags& flags, const Terminal& terminal, const Service& service);

}  // namespace csa
