#include "common/abort_words.h"

#include <signal.h>
#include <unistd.h>

#include <cstring>

namespace csa {
namespace {

const char* last_words = "";

void say_last_words(int signal) {
  if (::write(STDERR_FILENO, last_words, std::strlen(last_words)) < 0) last_words = "";
  ::raise(signal);  // which is the end, once this returns: the signal has its usual effect again
}

}  // namespace

void say_on_abort(const char* words) {
  last_words = words;
  struct sigaction action {};
  action.sa_handler = say_last_words;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGABRT, &action, nullptr);
}

}  // namespace csa
