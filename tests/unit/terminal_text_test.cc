#include "common/terminal_text.h"

#include <doctest/doctest.h>

#include <sstream>

#include "common/text_table.h"
#include "common/value_json.h"

namespace csa::terminal_text_test {

TEST_CASE("terminal text: what a terminal would obey is escaped, everything else stays") {
  CHECK(printable("plain ünïcödé 漢字 \\n") == "plain ünïcödé 漢字 \\n");
  CHECK(printable("a\nb\tc\rd") == "a\\nb\\tc\\rd");
  CHECK(printable(std::string_view("\x1b]0;x\a\x7f\0z", 9)) == "\\x1b]0;x\\x07\\x7f\\x00z");
  CHECK(printable("\xc2\x80 \xc2\x9b[31m \xc2\xa0") == "\\u0080 \\u009b[31m \xc2\xa0");
  CHECK(printable("\xe2\x80\xaegpj.exe") == "\\u202egpj.exe");
  CHECK(printable("\xff\xc3(\xe6\xbc") == "\\xff\\xc3(\\xe6\\xbc");
  CHECK(printable("\xc0\x9b\xed\xa0\x80") == "\\xc0\\x9b\\xed\\xa0\\x80");
  CHECK(printable(printable("\x1b")) == "\\x1b");
  CHECK(people_text(Null{}) == "NULL");
  CHECK(people_text(Text{"\x1b"}) == "\\x1b");
}

TEST_CASE("terminal text: widths count what characters take, cuts and lines keep to them") {
  CHECK(display_width("naïve") == 5);
  CHECK(display_width("漢字") == 4);
  CHECK(display_width("e\xcc\x81") == 1);
  CHECK(padded("漢", 4) == "漢  ");
  CHECK(padded("7", 3, true) == "  7");
  CHECK(cut_to("abc", 3) == "abc");
  CHECK(cut_to("abcd", 3) == "ab…");
  CHECK(cut_to("漢字漢", 4) == "漢…");
  CHECK(wrapped("one two three", 8) == std::vector<std::string>{"one two ", "three"});
  CHECK(wrapped("abcdefgh", 3) == std::vector<std::string>{"abc", "def", "gh"});
  CHECK(wrapped("", 3) == std::vector<std::string>{""});
}

TEST_CASE("text table: columns line up, a terminal's width is kept to by cutting or wrapping") {
  TextTable table;
  table.row({"ID", "NAME", "REASON"});
  table.row({"1", "Zürich\n", "a long reason that needs more than one line"});
  table.row({"12", "漢字", "short"});
  const auto shown = [&](std::size_t width, TextTable::Long beyond) {
    std::ostringstream out;
    table.print(out, width, beyond);
    return out.str();
  };
  CHECK(shown(0, TextTable::Long::kCut) ==
        "ID  NAME      REASON\n"
        "1   Zürich\\n  a long reason that needs more than one line\n"
        "12  漢字      short\n");
  CHECK(shown(32, TextTable::Long::kCut) ==
        "ID  NAME      REASON\n"
        "1   Zürich\\n  a long reason tha…\n"
        "12  漢字      short\n");
  CHECK(shown(32, TextTable::Long::kWrap) ==
        "ID  NAME      REASON\n"
        "1   Zürich\\n  a long reason\n"
        "              that needs more\n"
        "              than one line\n"
        "12  漢字      short\n");
}

TEST_CASE("text table: one long cell without a terminal is whole and moves no other row") {
  TextTable table;
  table.row({"A", "B"});
  table.row({std::string(500, 'x'), "y"});
  std::ostringstream out;
  table.print(out, 0, TextTable::Long::kWrap);
  CHECK(out.str().find(std::string(500, 'x') + "  y\n") != std::string::npos);
  CHECK(out.str().find("A" + std::string(41, ' ') + "B\n") != std::string::npos);
}

}  // namespace csa::terminal_text_test
