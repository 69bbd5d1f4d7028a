// The subcommands of csa-node, each on the public Client alone. Results go to stdout, words to
// stderr; each returns the exit code of schemas/cli.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/log.h"
#include "node/client.h"
#include "node/notices.h"
#include "node/output.h"

namespace csa {

struct NodeOptions {
  ClientOptions client;  // its replica: the file itself, also where it is the default, or a link
  bool json = false;
  LogLevel log_level = LogLevel::kWarn;
  RowFormat format = RowFormat::kTable;
  std::vector<std::string> sql;  // arguments; "-" alone: standard input
  std::string file;
  Row parameters;
  std::optional<std::int64_t> expect;
  std::chrono::milliseconds timeout{30000};
  std::string tx;
  bool new_identity = false;
  bool outcomes = false;
};

[[nodiscard]] int run_command(const NodeOptions& options);
[[nodiscard]] int exec_command(const NodeOptions& options);
[[nodiscard]] int outcome_command(const NodeOptions& options);
[[nodiscard]] int query_command(const NodeOptions& options);
[[nodiscard]] int shell_command(const NodeOptions& options);
[[nodiscard]] int status_command(const NodeOptions& options);
[[nodiscard]] int journal_command(const NodeOptions& options);
[[nodiscard]] int identity_command(const NodeOptions& options);
[[nodiscard]] int discover_command(const NodeOptions& options);

// What the commands have in common.

// The options with log lines going to stderr at the wanted level.
[[nodiscard]] ClientOptions with_log(const NodeOptions& options);
// Prints the failure and gives its exit code.
[[nodiscard]] int report(const ClientFailure& failure);
// Long enough to copy a database over a slow line; the user can interrupt.
inline constexpr std::chrono::milliseconds kJoinMax = std::chrono::hours{24};
// Opens a client and waits until it is live, or the discovery time is over. Prints a progress bar
// for a long copy on a terminal. Where no other program has the replica open, its journal is handed
// over by this one: that is waited for too as long as it gets on, at most `replay_max`.
[[nodiscard]] OpenedClient join(const NodeOptions& options,
                                std::chrono::milliseconds replay_max = kJoinMax);
// With the files that replaced replicas are kept in.
void print_status(const ClientStatus& status, bool json);
// On stderr, if the status says so: STANDALONE, refused, or how much is still handed over.
void notice_standalone(const ClientStatus& status);
// Exit 3 in clear words where there is neither broker nor replica; exit 4 where the broker refuses
// and there is nothing to read; nothing: there is a replica to read.
[[nodiscard]] std::optional<int> nothing_to_read(const ClientStatus& status);
// The rows of all statements of a SELECT-only text; the exit code.
struct RowOutput {
  std::ostream& out;
  RowFormat format;
};
[[nodiscard]] int print_query(sqlite3* db, std::string_view sql, const Row& parameters,
                              const RowOutput& to);
// SQL from arguments, --file or standard input; an error sentence otherwise.
struct SqlText {
  std::string sql;
  std::string error;
};
[[nodiscard]] SqlText sql_text(const NodeOptions& options);

}  // namespace csa
