// Entries of a hostile journal into the merge: an outcome in words each, the master sound.
#include "tests/fuzz/fuzz.h"
#include "tests/support/hostile_journal.h"

namespace csa::fuzz::journal_target {

CSA_FUZZ_TARGET(journal) {
  static std::unique_ptr<test::Hostile> master;
  static int runs = 0;
  if (++runs % 500 == 1) master = std::make_unique<test::Hostile>();
  master->lines.clear();
  master->another_node();
  fuzz::Choices input({data, size});
  do {
    const ByteView body = input.block();
    if (body.empty()) continue;
    const Replayed answer = master->give(master->entry(Bytes(body.begin(), body.end())));
    fuzz::prove(is_outcome(answer.result), "journal: no outcome: " + answer.text);
    fuzz::prove(answer.result != ReplayResult::kParked || !answer.text.empty(),
                "journal: parked without a word");
  } while (!input.empty());
  if (runs % 50 == 0) master->check_unharmed();
  return 0;
}

}  // namespace csa::fuzz::journal_target
