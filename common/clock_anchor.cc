#include "common/clock_anchor.h"

#include <sstream>

#include "common/clock_limits.h"

namespace csa {

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
  if (!in || !is_clock_ms(anchor.local.wall.ms) || !is_clock_ms(anchor.local.boot_ms) ||
      !is_clock_ms(anchor.broker.ms) || !is_clock_ms(anchor.scale.since.ms)) {
    return std::nullopt;
  }
  return anchor;
}

}  // namespace csa
