// What csa-node tells people unasked, on stderr: that there is no broker, that a replica was kept
// aside, what became of offline work. `width`: the terminal's columns, for a box; 0: no terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "node/client.h"

namespace csa {

// "STANDALONE: not connected to a broker. ... (3 waiting)".
void print_standalone(std::uint64_t waiting, std::ostream& out, std::size_t width);
// Of one that looks for a broker without a copy to work on: nothing can be kept either.
void print_no_copy(std::ostream& out, std::size_t width);
// Nothing where the event is not kKept.
void print_kept(const ClientEvent& event, std::ostream& out, std::size_t width);
// A line about an offline transaction that a person should look at: one that did not come through
// whole, or whose rows have other keys now. Nothing where the event is another.
void print_outcome(const ClientEvent& event, std::ostream& out);

}  // namespace csa
