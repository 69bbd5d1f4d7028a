// What a program says when abort() ends it: an assertion of a library, CSA_CHECK, an exception that
// nobody takes. Whose it was stands above it.
#pragma once

namespace csa {

// `words` is one line and must outlive the program.
void say_on_abort(const char* words);

}  // namespace csa
