// The command line of csa-broker as a value.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "broker/opening.h"
#include "broker/server.h"
#include "common/cli.h"

namespace csa {

enum class BrokerVerb : std::uint8_t { kServe, kCreate, kAdopt, kRestore, kCheck };

struct BrokerFlags {
  BrokerFlags();  // with the defaults of schemas/cli.md

  BrokerVerb verb = BrokerVerb::kServe;
  CommonFlags common;
  ServeConfig serve;                 // complete after settle(), which follows links to files
  std::vector<std::string> schemas;  // file names
  std::string rules;                 // file name
  std::string from;
  bool as_is = false;
  bool no_beacon = false;

  [[nodiscard]] DatabaseName name() const { return {serve.database, common.app, common.group}; }
};

// The parser that writes into `flags`, which must outlive it.
[[nodiscard]] std::unique_ptr<CLI::App> broker_cli(BrokerFlags& flags);
// After parsing: fills in what follows from other flags, and refuses what contradicts itself
// (Errc::kUsage).
[[nodiscard]] Status settle(BrokerFlags& flags);

}  // namespace csa
