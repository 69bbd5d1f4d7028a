#include "node/output.h"

#include <doctest/doctest.h>

#include <limits>
#include <sstream>

#include "common/terminal_text.h"
#include "common/value_json.h"
#include "node/notices.h"

namespace csa::output_test {

TEST_CASE("parameter: numbers in canonical form are numbers, everything else is text") {
  CHECK(parse_parameter("0") == Value{std::int64_t{0}});
  CHECK(parse_parameter("-12") == Value{std::int64_t{-12}});
  CHECK(parse_parameter("3.5") == Value{3.5});
  CHECK(parse_parameter("-0.25") == Value{-0.25});
  for (const char* const text : {"007", "+1", "1e5", "3.50", "-0", "1.", ".5", "0x10", "1 ", "",
                                 "9223372036854775808", "NULL", "inf", "nan"}) {
    CAPTURE(text);
    CHECK(parse_parameter(text) == Value{Text{text}});
  }
  CHECK(parse_parameter("9223372036854775807") == Value{std::numeric_limits<std::int64_t>::max()});
}

TEST_CASE("output: one of something is told in the singular") {
  ClientStatus status;
  status.pending = 1;
  CHECK(status_text(status, {}).find("waiting    1 change not yet") != std::string::npos);
  status.pending = 2;
  CHECK(status_text(status, {}).find("waiting    2 changes not yet") != std::string::npos);
}

TEST_CASE("parameter: null and blobs are what they say") {
  CHECK(parse_parameter("null") == Value{Null{}});
  CHECK(parse_parameter("x'00ff'") == Value{Bytes{0x00, 0xff}});
  CHECK(parse_parameter("x''") == Value{Bytes{}});
  CHECK(parse_parameter("x'0'") == Value{Text{"x'0'"}});
}

TEST_CASE("rows: JSON keeps numbers, null, text and blobs apart") {
  std::ostringstream out;
  RowPrinter printer(out, RowFormat::kJson, {"i", "r", "n", "t", "b"});
  printer.row({std::int64_t{1}, 2.0, Null{}, Text{"a\"b"}, Bytes{1, 2, 3}});
  printer.finish();
  CHECK(out.str() ==
        "[{\"i\":1,\"r\":2.0,\"n\":null,\"t\":\"a\\\"b\",\"b\":{\"base64\":\"AQID\"}}]\n");
}

TEST_CASE("rows: JSON on one line for a script, a row a line for a reader") {
  for (const auto& [format, between] :
       {std::pair(RowFormat::kJson, ",\n"), std::pair(RowFormat::kJsonLine, ",")}) {
    std::ostringstream out;
    RowPrinter printer(out, format, {"i"});
    printer.row({std::int64_t{1}});
    printer.row({std::int64_t{2}});
    printer.finish();
    CHECK(out.str() == std::string("[{\"i\":1}") + between + "{\"i\":2}]\n");
  }
}

TEST_CASE("rows: no row is an empty JSON array, and invalid UTF-8 does not stop the printer") {
  std::ostringstream out;
  RowPrinter none(out, RowFormat::kJson, {"a"});
  none.finish();
  CHECK(out.str() == "[]\n");
  RowPrinter bad(out, RowFormat::kJson, {"a"});
  bad.row({Text{"\xff"}});
  bad.finish();
  CHECK(out.str().find("\xEF\xBF\xBD") != std::string::npos);
}

TEST_CASE("rows: CSV quotes what must be quoted") {
  std::ostringstream out;
  RowPrinter printer(out, RowFormat::kCsv, {"a", "b,c"});
  printer.row({Text{"x\ny"}, Text{"say \"hi\""}});
  printer.finish();
  CHECK(out.str() == "a,\"b,c\"\r\n\"x\ny\",\"say \"\"hi\"\"\"\r\n");
}

TEST_CASE("rows: a table aligns numbers to the right and text to the left") {
  std::ostringstream out;
  RowPrinter printer(out, RowFormat::kTable, {"id", "name"});
  printer.row({std::int64_t{7}, Text{"nut"}});
  printer.row({std::int64_t{120}, Null{}});
  printer.finish();
  CHECK(out.str() == " id  name\n---  ----\n  7  nut\n120  NULL\n");
}

TEST_CASE("rows: a table shows control characters as what they are, in names too") {
  std::ostringstream out;
  RowPrinter printer(out, RowFormat::kTable, {"a\x1b"});
  printer.row({Text{"b\nc\xc2\x9b"}});
  printer.finish();
  CHECK(out.str() == "a\\x1b\n----------\nb\\nc\\u009b\n");
}

TEST_CASE("notices: a box is no wider than the terminal, without one it is one line") {
  std::ostringstream plain;
  print_standalone(3, plain, 0);
  CHECK(plain.str() ==
        "STANDALONE: not connected to a broker. Changes are kept on this computer and will be sent "
        "when it reconnects. (3 waiting)\n");
  for (const std::size_t width : {30U, 80U, 200U}) {
    std::ostringstream out;
    print_standalone(3, out, width);
    ClientEvent kept;
    kept.kind = ClientEvent::Kind::kKept;
    kept.path = "/home/someone/.local/share/csa/default/replica.db-aside-2026-01-31T09-00-00Z";
    kept.text = "the master has another history\x1b[2J";
    print_kept(kept, out, width);
    CHECK(out.str().find("\x1b") == std::string::npos);
    std::istringstream lines(out.str());
    for (std::string line; std::getline(lines, line);) {
      CHECK_MESSAGE(display_width(line) <= width, line);
    }
  }
}

TEST_CASE("notices: without a copy nothing is said to be kept, but how to name a broker") {
  std::ostringstream out;
  print_no_copy(out, 0);
  CHECK(out.str().find("kept") == std::string::npos);
  CHECK(out.str().find("--broker HOST[:PORT]") != std::string::npos);
}

TEST_CASE("outcome: what the master has lost points to recover, a lost conflict to the inbox") {
  WriteResult lost;
  lost.status = WriteResult::Status::kRejected;
  lost.outcome = "offered";
  lost.code = "lost";
  lost.seq = 9;
  CHECK(exec_sentence(lost) ==
        "made online, and lost with the master; offered, seq 9; see csa-admin recover");
  lost.outcome = "parked";
  lost.code = "conflict";
  CHECK(exec_sentence(lost) == "made offline; parked, seq 9; see csa-admin conflicts list");
}

TEST_CASE("exec: each outcome has its object and its exit code") {
  WriteResult done;
  done.status = WriteResult::Status::kCommitted;
  done.tx = "n:1";
  done.seq = 42;
  done.changes = 1;
  done.last_insert_rowid = 7;
  CHECK(
      exec_json(done) ==
      "{\"status\":\"committed\",\"seq\":42,\"changes\":1,\"last_insert_rowid\":7,\"tx\":\"n:1\"}");
  CHECK(exec_exit_code(done) == 0);
  done.visible = false;
  CHECK(exec_json(done).find("\"visible\":false") != std::string::npos);
  WriteResult bad;
  bad.status = WriteResult::Status::kRejected;
  bad.code = "constraint";
  bad.message = "no";
  CHECK(exec_exit_code(bad) == 5);
  CHECK(exec_json(bad).rfind("{\"status\":\"rejected\",\"code\":\"constraint\"", 0) == 0);
  bad.status = WriteResult::Status::kNoBroker;
  CHECK(exec_exit_code(bad) == 3);
  CHECK(exec_json(bad).find("\"code\":\"no-broker\"") != std::string::npos);
  bad.status = WriteResult::Status::kUnknown;
  CHECK(exec_exit_code(bad) == 6);
}

TEST_CASE("outcome: rows with other keys, in the object, the sentence and the notice") {
  WriteResult done;
  done.status = WriteResult::Status::kCommitted;
  done.tx = "n:1";
  done.seq = 4;
  done.outcome = "applied";
  CHECK(exec_json(done).find("\"keys\":[]") != std::string::npos);
  done.keys = {{"part", 5, 12}, {"part", 6, 13}};
  CHECK(exec_json(done).find("\"keys\":[{\"table\":\"part\",\"before\":5,\"after\":12},") !=
        std::string::npos);
  CHECK(exec_sentence(done).ends_with("; part 5 is now 12, part 6 is now 13"));
  ClientEvent event;
  event.kind = ClientEvent::Kind::kOutcome;
  event.tx = "n:1";
  event.outcome = "applied";
  std::ostringstream silent;
  print_outcome(event, silent);
  CHECK(silent.str().empty());
  event.keys.assign(500, {"part", 5, 12});
  std::ostringstream told;
  print_outcome(event, told);
  CHECK(told.str().starts_with("csa-node: offline change n:1: applied, part 5 is now 12, "));
  CHECK(told.str().ends_with(", and at least 490 more\n"));  // the master tells no more of them
  event.keys.pop_back();
  std::ostringstream all;
  print_outcome(event, all);
  CHECK(all.str().ends_with(", and 489 more\n"));
}

}  // namespace csa::output_test
