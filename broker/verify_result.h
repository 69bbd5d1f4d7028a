// What csa-admin verify tells: whether each node equals the master. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/message.h"

namespace csa {

struct NodeVerdict {
  NodeId node;
  std::string hostname;
  std::optional<bool> equal;  // nothing: not known, text says why
  std::vector<KeyRange> tables;
  std::string text;
  Id128 content;  // of what it holds, to tell nodes that are equal to each other
};

// Compares what the node has found of itself with the master's, by the digests, not by its word.
void judge(const DigestReply& reference, const Checked& checked, NodeVerdict& verdict);

// Leaves what takes at most `room` bytes: where the keys of a table take more, the table alone, and
// no table where its name does. The bytes that `verdict.tables` takes then.
[[nodiscard]] std::size_t shorten(NodeVerdict& verdict, std::size_t room);

// As schemas/cli.md shows it, with the names of the tables that were compared. Says so where most
// nodes equal each other, but not the master.
[[nodiscard]] std::string verdicts_json(const DigestReply& reference,
                                        const std::vector<NodeVerdict>& nodes);

}  // namespace csa
