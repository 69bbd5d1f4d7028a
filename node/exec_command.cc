// csa-node exec and csa-node outcome.
#include <iostream>

#include "node/commands.h"
#include "node/known_outcome.h"

namespace csa {
namespace {

int finish(const NodeOptions& options, const WriteResult& result) {
  const int code = exec_exit_code(result);
  if (options.json) {
    std::cout << exec_json(result) << std::endl;
    return code;
  }
  if (!result.columns.empty()) {
    RowPrinter printer(std::cout, options.format, result.columns);
    for (const Row& row : result.rows) printer.row(row);
    printer.finish();
  }
  std::cerr << "csa-node: " << exec_sentence(result) << std::endl;
  return code;
}

// What was not sent because the broker refuses this node met a refusal, not an absence.
bool met_refusal(Client& client, const WriteResult& result) {
  return result.status == WriteResult::Status::kNoBroker &&
         client.status().state == ClientState::kRefused;
}

}  // namespace

int exec_command(const NodeOptions& options) {
  const SqlText text = sql_text(options);
  if (!text.error.empty()) {
    std::cerr << "csa-node: " << text.error << std::endl;
    return 2;
  }
  OpenedClient opened = join(options, options.timeout);
  if (!opened.client) return report(opened.failure);
  const WriteResult result =
      opened.client->exec(text.sql, options.parameters, {options.expect, options.timeout});
  const bool journaled = result.status == WriteResult::Status::kJournaled;
  if (journaled || result.status == WriteResult::Status::kNoBroker) {
    const ClientStatus status = opened.client->status();
    if (!status.epoch.empty()) notice_standalone(status);
  }
  const bool refused = met_refusal(*opened.client, result);
  const int code = finish(options, result);
  opened.client->leave();
  return refused ? 4 : code;
}

int outcome_command(const NodeOptions& options) {
  const std::string& path = options.client.replica;
  const std::optional<TxId> tx = parse_tx_id(options.tx);
  if (const auto known = tx ? known_outcome(path, *tx) : std::nullopt) {
    return finish(options, *known);  // needs no broker
  }
  OpenedClient opened = join(options, options.timeout);
  if (!opened.client) return report(opened.failure);
  const WriteResult result = opened.client->outcome(options.tx, options.timeout);
  const bool refused = met_refusal(*opened.client, result);
  const int code = finish(options, result);
  opened.client->leave();
  return refused ? 4 : code;
}

}  // namespace csa
