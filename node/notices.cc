#include "node/notices.h"

#include <algorithm>

#include "node/output.h"

namespace csa {
namespace {

void print_box(const std::vector<std::string>& lines, std::ostream& out, bool terminal) {
  if (!terminal) {
    for (std::size_t i = 0; i < lines.size(); ++i) out << (i == 0 ? "" : " ") << lines[i];
    out << std::endl;
    return;
  }
  std::size_t width = 0;
  for (const std::string& line : lines) width = std::max(width, line.size());
  std::string bar;
  for (std::size_t i = 0; i < width + 2; ++i) bar += "─";
  out << "┌" << bar << "┐\n";
  for (const std::string& line : lines)
    out << "│ " << line << std::string(width - line.size(), ' ') << " │\n";
  out << "└" << bar << "┘" << std::endl;
}

}  // namespace

void print_standalone(std::uint64_t waiting, std::ostream& out, bool terminal) {
  print_box({"STANDALONE: not connected to a broker.",
             "Changes are kept on this computer and will be sent when it reconnects. (" +
                 std::to_string(waiting) + " waiting)"},
            out, terminal);
}

void print_kept(const ClientEvent& event, std::ostream& out, bool terminal) {
  if (event.kind != ClientEvent::Kind::kKept) return;
  print_box({"KEPT ASIDE: the master does not have all that this replica held.",
             "What was here is in " + event.path + " now; a full copy has taken its place.",
             "(" + event.text + ")"},
            out, terminal);
}

void print_outcome(const ClientEvent& event, std::ostream& out) {
  if (event.kind != ClientEvent::Kind::kOutcome) return;
  const bool whole =
      event.outcome == "applied" || event.outcome == "stood" || event.outcome == "offered";
  if (whole && event.keys.empty()) return;
  std::string line = "csa-node: offline change " + event.tx + ": " + event.outcome;
  if (!event.text.empty()) line += ", " + event.text;
  if (!event.keys.empty()) line += ", " + keys_sentence(event.keys);
  out << line << std::endl;
}

}  // namespace csa
