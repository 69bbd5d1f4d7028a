// What is known of journals handed over follows what is committed.
#include "broker/handed_over.h"

#include <doctest/doctest.h>

namespace csa::handed_over_test {
namespace {

TxId tx(std::uint64_t counter) { return {NodeId{{7}}, counter}; }

TEST_CASE("handed over: entry noted, commit, known; rolled back, unknown again") {
  HandedOver known;
  known.note(tx(1));
  known.committed();
  known.note(tx(2));
  CHECK(known.has(tx(2)));
  known.rolled_back();
  CHECK(known.has(tx(1)));
  CHECK_FALSE(known.has(tx(2)));
}

TEST_CASE("handed over: known entry noted again and rolled back, still known") {
  HandedOver known;
  known.note(tx(1));
  known.committed();
  known.note(tx(1));
  known.rolled_back();
  CHECK(known.has(tx(1)));
}

TEST_CASE("handed over: stray noted and rolled back, a stray again; committed, no longer") {
  HandedOver known;
  known.note_stray(tx(1));
  CHECK(known.is_stray(tx(1)));
  known.note(tx(1));
  CHECK_FALSE(known.is_stray(tx(1)));
  known.rolled_back();
  CHECK(known.is_stray(tx(1)));
  CHECK_FALSE(known.has(tx(1)));
  known.note(tx(1));
  known.committed();
  known.note_stray(tx(1));  // answered once more, after it was handed over
  CHECK_FALSE(known.is_stray(tx(1)));
}

TEST_CASE("handed over: a copy's journal, not taken for another journal or node") {
  HandedOver known;
  known.note_copy(NodeId{{7}}, 12);
  CHECK_FALSE(known.is_copy(NodeId{{7}}, 12));  // it is asked for from its begin
  known.begin(NodeId{{7}}, 12, NodeId{{1}});
  known.note_copy(NodeId{{7}}, 12);
  known.begin(NodeId{{7}}, 12, NodeId{{1}});
  CHECK(known.is_copy(NodeId{{7}}, 12));
  CHECK_FALSE(known.is_copy(NodeId{{7}}, 13));
  CHECK_FALSE(known.is_copy(NodeId{{8}}, 12));
}

TEST_CASE("handed over: whose a journal is and that it has begun are forgotten together") {
  HandedOver known{3};
  known.begin(NodeId{{7}}, 12, NodeId{{1}});
  known.note_copy(NodeId{{7}}, 12);
  CHECK(known.has_begun(NodeId{{7}}, 12));
  CHECK_FALSE(known.has_begun(NodeId{{7}}, 13));
  for (std::uint64_t journal = 1; journal <= 3; ++journal)
    known.begin(NodeId{{8}}, journal, NodeId{{1}});
  CHECK_FALSE(known.has_begun(NodeId{{7}}, 12));
  CHECK_FALSE(known.is_copy(NodeId{{7}}, 12));
}

TEST_CASE("handed over: another journal of the same number, nothing of the first is known of it") {
  HandedOver known;
  known.begin(NodeId{{7}}, 12, NodeId{{1}});
  known.note_shared(NodeId{{7}}, 12, 12);
  known.note_copy(NodeId{{7}}, 12);
  known.note_shared(NodeId{{7}}, 12, 13);
  known.note_logged(NodeId{{7}}, 12, Seq{4});
  REQUIRE(known.find(NodeId{{7}}, 12) != nullptr);
  CHECK(known.find(NodeId{{7}}, 12)->shared_to == 12);
  CHECK(known.find(NodeId{{7}}, 12)->logged == std::vector{Seq{4}});
  known.committed();
  known.begin(NodeId{{7}}, 12, NodeId{{2}});
  CHECK_FALSE(known.is_copy(NodeId{{7}}, 12));
  CHECK(known.find(NodeId{{7}}, 12)->shared_to == 0);
  CHECK(known.find(NodeId{{7}}, 12)->logged.empty());
}

TEST_CASE("handed over: entries of the log noted and rolled back, unknown again") {
  HandedOver known;
  known.begin(NodeId{{7}}, 12, NodeId{{1}});
  known.note_logged(NodeId{{7}}, 12, Seq{4});
  known.committed();
  known.note_logged(NodeId{{7}}, 12, Seq{4});
  known.note_logged(NodeId{{7}}, 12, Seq{5});
  known.rolled_back();
  CHECK(known.find(NodeId{{7}}, 12)->logged == std::vector{Seq{4}});
}

TEST_CASE("handed over: more than its limit, as after a restart, and it goes on") {
  HandedOver known{3};
  for (std::uint64_t i = 1; i <= 4; ++i) known.note(tx(i));
  known.committed();
  CHECK_FALSE(known.has(tx(1)));
  CHECK(known.has(tx(4)));
  known.note(tx(1));
  CHECK(known.has(tx(1)));
}

}  // namespace
}  // namespace csa::handed_over_test
