// Runs the statements of one migration: row changes are captured, schema statements are put into
// the changeset as text; of tables that are made anew, what became of their rows. The rules of
// merging are brought along, and it is told what was renamed. Belongs to the ledger's thread;
// leaves rolling back to the caller.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "broker/followed_names.h"
#include "broker/followed_rules.h"
#include "broker/rebuilt_tables.h"
#include "common/call_runner.h"

namespace csa {

class Migration {
 public:
  // All must outlive this.
  Migration(const Database& db, Sandbox& sandbox, Capture& capture, CallLimits limits)
      : db_(db),
        sandbox_(sandbox),
        capture_(capture),
        limits_(limits),
        names_(db),
        rules_(db, names_),
        rebuilt_(db) {}

  // REQUIRES: a savepoint is open, capture has begun, foreign keys are off, the sandbox has the
  // deadline. Ends with the remark that proves the schema. The effect's rows are sentences, what
  // became of rules whose tables or columns have other names, or are gone.
  [[nodiscard]] std::variant<CallEffect, Rejection> run(const Migrate& migrate);
  // What it has renamed.
  [[nodiscard]] Renames renames() const { return names_.renames(); }

 private:
  using Failure = std::optional<Rejection>;
  [[nodiscard]] Failure run_all(const Migrate& migrate);
  [[nodiscard]] Failure run_one(Statement& statement);
  void settle_rules();
  void settle_remaps();
  void record(const Sandbox::Seen& seen, const std::string& sql);
  [[nodiscard]] Failure prove_shareable();
  [[nodiscard]] Failure prove_foreign_keys(std::optional<std::int64_t> before);
  [[nodiscard]] std::optional<std::int64_t> count_violations() const;
  [[nodiscard]] Rejection reject(std::string message) const {
    return {NackCode::kSql, std::move(message), index_, true};
  }

  const Database& db_;
  Sandbox& sandbox_;
  Capture& capture_;
  CallLimits limits_;
  FollowedNames names_;
  FollowedRules rules_;
  RebuiltTables rebuilt_;
  CallEffect effect_;
  std::uint32_t index_ = 0;
};

}  // namespace csa
