#include "node/identity.h"

#include <charconv>
#include <string_view>

#include "common/terminal_text.h"
#include "node/private_rows.h"

namespace csa {
namespace {

// Rows of csa_private on a replica. A master has another role, a downloaded copy none.
constexpr std::string_view kRole = "role";
constexpr std::string_view kRoleNode = "node";
constexpr std::string_view kNode = "node";
constexpr std::string_view kApp = "app";
constexpr std::string_view kGroup = "group";
constexpr std::string_view kDb = "db";
constexpr std::string_view kCounter = "counter";
constexpr std::string_view kGenerationSeen = "generation_seen";
constexpr std::string_view kEndpoint = "endpoint";
constexpr std::string_view kDamage = "damage";
constexpr std::size_t kDamageMax = 1000;  // names of tables and keys are in it

Error unreadable(std::string_view key) {
  return {Errc::kDamaged, "the replica's private row \"" + std::string(key) +
                              "\" is missing or holds a value that csa never writes"};
}

std::optional<std::uint64_t> read_number(const PrivateRows& rows, std::string_view key) {
  const std::optional<std::string> text = rows.find(key);
  if (!text) return std::nullopt;
  std::uint64_t number = 0;
  const char* const end = text->data() + text->size();
  const auto [stop, code] = std::from_chars(text->data(), end, number);
  if (code != std::errc{} || stop != end) return std::nullopt;
  return number;
}

}  // namespace

Result<std::optional<Identity>> read_identity(const Database& db) {
  Result<PrivateRows> rows = PrivateRows::read(db);
  if (!rows) return rows.error();
  const std::optional<std::string> role = rows->find(kRole);
  if (!role && rows->find(kNode)) return unreadable(kRole);
  if (role != kRoleNode) return std::optional<Identity>{};
  Identity identity;
  const std::optional<Id128> node = parse_id128(rows->find(kNode).value_or(""));
  if (!node || node->is_zero()) return unreadable(kNode);
  identity.node = NodeId{*node};
  if (const std::optional<std::string> text = rows->find(kDb)) {
    const std::optional<Id128> parsed = parse_id128(*text);
    if (!parsed) return unreadable(kDb);
    identity.db = DbId{*parsed};
  }
  const std::optional<std::uint64_t> counter = read_number(*rows, kCounter);
  if (!counter) return unreadable(kCounter);
  identity.counter = *counter;
  const std::optional<std::uint64_t> generation = read_number(*rows, kGenerationSeen);
  if (!generation) return unreadable(kGenerationSeen);
  identity.generation_seen = *generation;
  identity.app = rows->find(kApp).value_or("");
  identity.group = rows->find(kGroup).value_or("");
  identity.endpoint = rows->find(kEndpoint).value_or("");
  identity.damage = rows->find(kDamage).value_or("");
  // A measurement that cannot be read is as good as none.
  identity.clock = parse_clock_anchor(rows->find(kClockKey).value_or(""));
  identity.mended = rows->mended();
  return std::optional<Identity>{std::move(identity)};
}

void write_identity(const Database& db, const Identity& identity) {
  PrivateRows rows;
  rows.add(kRole, kRoleNode);
  rows.add(kNode, to_string(identity.node));
  rows.add(kApp, identity.app);
  rows.add(kGroup, identity.group);
  if (identity.db) rows.add(kDb, to_string(*identity.db));
  rows.add(kCounter, std::to_string(identity.counter));
  rows.add(kGenerationSeen, std::to_string(identity.generation_seen));
  if (!identity.endpoint.empty()) rows.add(kEndpoint, identity.endpoint);
  if (identity.clock) rows.add(kClockKey, to_text(*identity.clock));
  if (!identity.damage.empty()) rows.add(kDamage, cut_to(printable(identity.damage), kDamageMax));
  rows.write(db);
}

}  // namespace csa
