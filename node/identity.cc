#include "node/identity.h"

#include <charconv>
#include <string_view>

#include "common/store_meta.h"

namespace csa {
namespace {

// Rows of csa_private on a replica. A master has another role, a downloaded copy none.
constexpr std::string_view kRole = "role";
constexpr std::string_view kRoleNode = "node";
constexpr std::string_view kNode = "node";
constexpr std::string_view kApp = "app";
constexpr std::string_view kGroup = "group";
constexpr std::string_view kCounter = "counter";
constexpr std::string_view kGenerationSeen = "generation_seen";
constexpr std::string_view kEndpoint = "endpoint";
constexpr std::string_view kDamage = "damage";

Error unreadable(std::string_view key) {
  return {Errc::kDamaged, "the replica's private row \"" + std::string(key) +
                              "\" is missing or holds a value that csa never writes"};
}

std::optional<std::uint64_t> read_number(const Database& db, std::string_view key) {
  const std::optional<std::string> text = read_private(db, key);
  if (!text) return std::nullopt;
  std::uint64_t number = 0;
  const char* const end = text->data() + text->size();
  const auto [stop, code] = std::from_chars(text->data(), end, number);
  if (code != std::errc{} || stop != end) return std::nullopt;
  return number;
}

}  // namespace

Result<std::optional<Identity>> read_identity(const Database& db) {
  if (read_private(db, kRole) != kRoleNode) return std::optional<Identity>{};
  Identity identity;
  const std::optional<Id128> node = parse_id128(read_private(db, kNode).value_or(""));
  if (!node || node->is_zero()) return unreadable(kNode);
  identity.node = NodeId{*node};
  const std::optional<std::uint64_t> counter = read_number(db, kCounter);
  if (!counter) return unreadable(kCounter);
  identity.counter = *counter;
  const std::optional<std::uint64_t> generation = read_number(db, kGenerationSeen);
  if (!generation) return unreadable(kGenerationSeen);
  identity.generation_seen = *generation;
  identity.app = read_private(db, kApp).value_or("");
  identity.group = read_private(db, kGroup).value_or("");
  identity.endpoint = read_private(db, kEndpoint).value_or("");
  identity.damage = read_private(db, kDamage).value_or("");
  // A measurement that cannot be read is as good as none.
  identity.clock = parse_clock_anchor(read_private(db, kClockKey).value_or(""));
  return std::optional<Identity>{std::move(identity)};
}

void write_identity(const Database& db, const Identity& identity) {
  clear_private(db);
  write_private(db, kRole, kRoleNode);
  write_private(db, kNode, to_string(identity.node));
  write_private(db, kApp, identity.app);
  write_private(db, kGroup, identity.group);
  write_private(db, kCounter, std::to_string(identity.counter));
  write_private(db, kGenerationSeen, std::to_string(identity.generation_seen));
  if (!identity.endpoint.empty()) write_private(db, kEndpoint, identity.endpoint);
  if (identity.clock) write_private(db, kClockKey, to_text(*identity.clock));
  if (!identity.damage.empty()) write_private(db, kDamage, identity.damage);
}

}  // namespace csa
