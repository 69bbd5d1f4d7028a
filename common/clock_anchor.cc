#include "common/clock_anchor.h"

#include <sstream>

namespace csa {
namespace {

constexpr std::int64_t kMostMs = std::int64_t{1} << 52U;  // of clocks

bool is_possible(std::int64_t ms) { return ms > -kMostMs && ms < kMostMs; }

}  // namespace

std::string to_text(const ClockAnchor& anchor) {
  std::ostringstream out;
  out << anchor.local.wall.ms << ' ' << anchor.local.boot << ' ' << anchor.local.boot_ms << ' '
      << anchor.broker.ms << ' ' << anchor.error_ms << ' ' << anchor.scale.id << ' '
      << anchor.scale.before << ' ' << anchor.scale.since.ms << ' ' << anchor.doubt_ms;
  return out.str();
}

std::optional<ClockAnchor> parse_clock_anchor(const std::string& text) {
  std::istringstream in(text);
  ClockAnchor anchor;
  in >> anchor.local.wall.ms >> anchor.local.boot >> anchor.local.boot_ms >> anchor.broker.ms >>
      anchor.error_ms >> anchor.scale.id >> anchor.scale.before >> anchor.scale.since.ms >>
      anchor.doubt_ms;
  if (!in || !is_possible(anchor.local.wall.ms) || !is_possible(anchor.local.boot_ms) ||
      !is_possible(anchor.broker.ms) || !is_possible(anchor.scale.since.ms)) {
    return std::nullopt;
  }
  return anchor;
}

}  // namespace csa
