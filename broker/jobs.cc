#include "broker/jobs.h"

#include "common/codec.h"

namespace csa {

const TxId& tx_of(const WriteRequest& request) {
  struct Visitor {
    const TxId& operator()(const Write& write) const { return write.tx; }
    const TxId& operator()(const Migrate& migrate) const { return migrate.tx; }
    const TxId& operator()(const Rules& rules) const { return rules.tx; }
    const TxId& operator()(const Conflict& conflict) const { return conflict.tx; }
    const TxId& operator()(const Replay& replay) const { return replay.header.tx; }
  };
  return std::visit(Visitor{}, request);
}

Id128 hash_of(const WriteRequest& request) {
  return std::visit([](const auto& one) { return request_hash(one); }, request);
}

}  // namespace csa
