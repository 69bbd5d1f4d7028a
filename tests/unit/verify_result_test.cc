#include "broker/verify_result.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

namespace csa::verify_result_test {
namespace {

DigestReply reference() {
  DigestReply digest;
  digest.asked = 1;
  digest.position.seq = Seq{9};
  digest.tables = {{"part", true, 3, 10, 11}, {"tag", true, 1, 5, 6}};
  return digest;
}
Checked answer() {
  Checked checked;
  checked.asked = 1;
  checked.position = reference().position;
  checked.tables = reference().tables;
  return checked;
}
NodeVerdict judged(const Checked& checked) {
  NodeVerdict verdict;
  verdict.text = "It did not answer in time.";
  judge(reference(), checked, verdict);
  return verdict;
}

}  // namespace

TEST_CASE("verify result: the sums decide, whatever the node says of itself") {
  CHECK(judged(answer()).equal == true);
  CHECK(judged(answer()).text.empty());
  Checked liar = answer();
  liar.tables[0].low = 12;
  CHECK(judged(liar).equal == false);
  REQUIRE(judged(liar).tables.size() == 1);
  CHECK(judged(liar).tables[0] == KeyRange{"part", 0, {}, {}});
  liar.differences = {{"part", 2, {Value(std::int64_t{7})}, {Value(std::int64_t{9})}}};
  CHECK(judged(liar).tables[0] == liar.differences[0]);
  Checked less = answer();
  less.tables.pop_back();
  CHECK(judged(less).equal == false);
  Checked schema = answer();
  schema.fingerprint.bytes[0] = 1;
  CHECK(judged(schema).equal == false);
}

TEST_CASE("verify result: what was not compared is not called equal") {
  Checked offline = answer();
  offline.tables.clear();
  offline.pending = 3;
  CHECK_FALSE(judged(offline).equal.has_value());
  CHECK(judged(offline).text.find("3 unsent") != std::string::npos);
  Checked elsewhere = answer();
  elsewhere.position.seq = Seq{8};
  CHECK_FALSE(judged(elsewhere).equal.has_value());
  Checked moved = answer();
  moved.tables[0].known = false;
  CHECK_FALSE(judged(moved).equal.has_value());
  CHECK(judged(moved).text.find("part") != std::string::npos);
  moved.tables[1].high = 7;
  CHECK(judged(moved).equal == false);
}

TEST_CASE("verify result: most nodes equal each other and not the master: that is said") {
  Checked other = answer();
  other.tables[0].low = 12;
  const auto json = [](const std::vector<NodeVerdict>& nodes) {
    return nlohmann::json::parse(verdicts_json(reference(), nodes));
  };
  CHECK(!json({judged(answer()), judged(other)}).contains("text"));
  const nlohmann::json most = json({judged(answer()), judged(other), judged(other)});
  REQUIRE(most.contains("text"));
  CHECK(most["text"].get<std::string>().find("2 of 3") != std::string::npos);
  CHECK(most["position"]["seq"] == 9);
  CHECK(most["nodes"][1]["tables"][0]["table"] == "part");
}

TEST_CASE("verify result: no more is kept of what differs than there is room for") {
  Checked other = answer();
  other.tables[0].low = 12;
  other.tables[1].low = 12;
  const Row wide(32767, Value(Null{}));
  other.differences = {{"part", 2, wide, wide}, {"tag", 1, {Value(Text{"a"})}, {Value(Text{"b"})}}};
  NodeVerdict verdict = judged(other);
  const std::size_t kept = shorten(verdict, 4096);
  REQUIRE(verdict.tables.size() == 2);
  CHECK(verdict.tables[0] == KeyRange{"part", 2, {}, {}});
  CHECK(verdict.tables[1] == other.differences[1]);
  CHECK(kept <= 4096);
  CHECK(verdict.text.empty());
  CHECK(shorten(verdict, 4096) == kept);
  CHECK(shorten(verdict, 0) == 0);
  CHECK(verdict.tables.empty());
  CHECK(verdict.equal == false);
  CHECK(verdict.text.find("More differs") != std::string::npos);
}

}  // namespace csa::verify_result_test
