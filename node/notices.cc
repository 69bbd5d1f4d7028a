#include "node/notices.h"

#include <algorithm>

#include "common/terminal_text.h"
#include "node/output.h"

namespace csa {
namespace {

constexpr std::size_t kNarrowest = 20;  // columns of text in a box

// A title and a text, in a box no wider than the terminal; on one line where there is none.
void print_box(const std::string& title, const std::string& text, std::ostream& out,
               std::size_t width) {
  if (width == 0) {
    out << title << " " << printable(text) << std::endl;
    return;
  }
  constexpr std::size_t kFrame = 4;
  const std::size_t inner = std::max(width, kNarrowest + kFrame) - kFrame;
  std::vector<std::string> lines = wrapped(title, inner);
  for (std::string& line : wrapped(printable(text), inner)) lines.push_back(std::move(line));
  std::size_t widest = 0;
  for (std::string& line : lines) {
    line.erase(line.find_last_not_of(' ') + 1);
    widest = std::max(widest, display_width(line));
  }
  std::string bar;
  for (std::size_t i = 0; i < widest + 2; ++i) bar += "─";
  out << "┌" << bar << "┐\n";
  for (const std::string& line : lines) out << "│ " << padded(line, widest) << " │\n";
  out << "└" << bar << "┘" << std::endl;
}

}  // namespace

void print_standalone(std::uint64_t waiting, std::ostream& out, std::size_t width) {
  print_box("STANDALONE: not connected to a broker.",
            "Changes are kept on this computer and will be sent when it reconnects. (" +
                std::to_string(waiting) + " waiting)",
            out, width);
}

void print_no_copy(std::ostream& out, std::size_t width) {
  print_box(
      "NO COPY YET: no broker was found, and there is no copy of the database here.",
      "Nothing can be read or written until a broker is there; it is looked for all the time. "
      "Start one (csa-broker serve --db FILE), or name one: --broker HOST[:PORT]. "
      "csa-node discover shows what the network says.",
      out, width);
}

void print_kept(const ClientEvent& event, std::ostream& out, std::size_t width) {
  if (event.kind != ClientEvent::Kind::kKept) return;
  print_box("KEPT ASIDE: the master does not have all that this replica held.",
            "What was here is in " + event.path + " now; a full copy has taken its place. (" +
                event.text + ")",
            out, width);
}

void print_outcome(const ClientEvent& event, std::ostream& out) {
  if (event.kind != ClientEvent::Kind::kOutcome) return;
  const bool whole =
      event.outcome == "applied" || event.outcome == "stood" || event.outcome == "offered";
  if (whole && event.keys.empty()) return;
  std::string line = "csa-node: offline change " + event.tx + ": " + event.outcome;
  if (!event.text.empty()) line += ", " + printable(event.text);
  if (!event.keys.empty()) line += ", " + keys_sentence(event.keys);
  out << line << std::endl;
}

}  // namespace csa
