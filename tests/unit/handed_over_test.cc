// What is known of journals handed over follows what is committed.
#include "broker/handed_over.h"

#include <doctest/doctest.h>

#include <string>

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
  known.note_copy(NodeId{{7}}, 12, NodeId{{2}});
  CHECK_FALSE(known.is_copy(NodeId{{7}}, 12));  // it is asked for from its begin
  known.begin(NodeId{{7}}, 12, NodeId{{1}});
  known.note_copy(NodeId{{7}}, 12, NodeId{{2}});
  known.note_copy(NodeId{{7}}, 12, NodeId{{3}});
  CHECK(known.is_copy(NodeId{{7}}, 12));
  CHECK(known.find(NodeId{{7}}, 12)->name == NodeId{{2}});
  CHECK_FALSE(known.is_copy(NodeId{{7}}, 13));
  CHECK_FALSE(known.is_copy(NodeId{{8}}, 12));
}

TEST_CASE("handed over: of too many nodes all is forgotten, and each journal is asked for anew") {
  HandedOver known{3};
  known.begin(NodeId{{7}}, 12, NodeId{{1}});
  known.note_copy(NodeId{{7}}, 12, NodeId{{2}});
  CHECK(known.has_begun(NodeId{{7}}, 12));
  CHECK_FALSE(known.has_begun(NodeId{{7}}, 13));
  for (std::uint8_t node = 8; node <= 10; ++node) known.begin(NodeId{{node}}, 1, NodeId{{1}});
  CHECK_FALSE(known.has_begun(NodeId{{7}}, 12));
  CHECK_FALSE(known.is_copy(NodeId{{7}}, 12));
  // Of which nodes copies are known is forgotten too.
  CHECK(known.has_begun(NodeId{{10}}, 1));
  known.on_link("next");
  CHECK_FALSE(known.has_begun(NodeId{{10}}, 1));
}

TEST_CASE("handed over: one node's journals, however many, leave others' alone") {
  HandedOver known{3};
  known.begin(NodeId{{7}}, 12, NodeId{{1}});
  for (std::uint64_t journal = 1; journal <= 5; ++journal)
    known.begin(NodeId{{8}}, journal, NodeId{{1}});
  CHECK(known.has_begun(NodeId{{7}}, 12));
  CHECK_FALSE(known.has_begun(NodeId{{8}}, 4));
  CHECK(known.has_begun(NodeId{{8}}, 5));
}

TEST_CASE("handed over: a journal begins anew, nothing of before is known of it") {
  for (const std::uint64_t id : {1U, 2U}) {
    CAPTURE(id);
    HandedOver known;
    known.begin(NodeId{{7}}, 12, NodeId{{1}});
    known.note_gone(NodeId{{7}}, 12, 12, nullptr);
    known.note_copy(NodeId{{7}}, 12, NodeId{{2}});
    known.note_keys(NodeId{{7}}, 12);
    known.note_logged(NodeId{{7}}, 12, Seq{4});
    known.pass(NodeId{{7}}, 12, 0, 12);
    REQUIRE(known.find(NodeId{{7}}, 12) != nullptr);
    CHECK(known.find(NodeId{{7}}, 12)->untold);
    CHECK(known.find(NodeId{{7}}, 12)->logged == std::vector{Seq{4}});
    CHECK(known.passed(NodeId{{7}}, 12, 12) == true);
    known.begin(NodeId{{7}}, 12, NodeId{{static_cast<std::uint8_t>(id)}});
    // The rollback of what was before is not about this one.
    known.rolled_back();
    CHECK_FALSE(known.is_copy(NodeId{{7}}, 12));
    CHECK_FALSE(known.find(NodeId{{7}}, 12)->untold);
    CHECK_FALSE(known.find(NodeId{{7}}, 12)->has_keys);
    CHECK(known.find(NodeId{{7}}, 12)->logged.empty());
    CHECK(known.passed(NodeId{{7}}, 12, 12) == false);
  }
}

TEST_CASE("handed over: copies of a node are known, its journal has begun on its link alone") {
  HandedOver known;
  known.on_link("one");
  known.begin(NodeId{{7}}, 12, NodeId{{1}});
  known.pass(NodeId{{7}}, 12, 0, 12);
  CHECK_FALSE(known.passed(NodeId{{7}}, 12, 12).has_value());
  known.on_link("two");
  CHECK(known.has_begun(NodeId{{7}}, 12));
  // Another first entry, or an earlier journal.
  for (const std::uint64_t journal : {12U, 11U}) {
    known.begin(NodeId{{7}}, journal, NodeId{{2}});
    CHECK(known.has_begun(NodeId{{7}}, journal));
    CHECK(known.passed(NodeId{{7}}, journal, 0) == true);
    CHECK(known.passed(NodeId{{7}}, journal, 12) == false);
    known.on_link("behind " + std::to_string(journal));
    CHECK_FALSE(known.has_begun(NodeId{{7}}, journal));
    known.pass(NodeId{{7}}, journal, 0, 12);
    CHECK(known.passed(NodeId{{7}}, journal, 12) == false);
  }
}

TEST_CASE("handed over: entries passed and rolled back, to be passed again") {
  HandedOver known;
  known.begin(NodeId{{7}}, 12, NodeId{{1}});
  known.note_copy(NodeId{{7}}, 12, NodeId{{2}});
  known.pass(NodeId{{7}}, 12, 0, 12);
  known.committed();
  known.pass(NodeId{{7}}, 12, 12, 13);
  known.pass(NodeId{{7}}, 12, 14, 15);
  known.pass(NodeId{{7}}, 12, 13, 14);
  CHECK(known.passed(NodeId{{7}}, 12, 14) == true);
  known.rolled_back();
  CHECK(known.passed(NodeId{{7}}, 12, 12) == true);
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
