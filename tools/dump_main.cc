// csa-dump: prints a frame (with or without its topic), a beacon, a log header or a changeset,
// given as hex digits or as raw bytes in a file or on stdin.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <iostream>
#include <iterator>

#include "common/beacon.h"
#include "common/changeset.h"
#include "common/cli.h"
#include "common/codec.h"
#include "common/codec_fields.h"
#include "common/text_file.h"

namespace csa {
namespace {

// Strange bytes as \xNN, so that a terminal is never told what to do.
std::string in_quotes(std::string_view text) {
  std::string shown = "\"";
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '"' && c != '\\') {
      shown += c;
    } else {
      shown += "\\x" + to_hex(as_bytes(std::string_view(&c, 1)));
    }
  }
  return shown + "\"";
}

std::string shown(const Value& value) {
  struct Visitor {
    std::string operator()(const Null&) const { return "NULL"; }
    std::string operator()(std::int64_t number) const { return std::to_string(number); }
    std::string operator()(double number) const { return std::to_string(number); }
    std::string operator()(const Text& text) const { return in_quotes(text.utf8); }
    std::string operator()(const Bytes& blob) const { return "x'" + to_hex(blob) + "'"; }
    std::string operator()(const Text16& text) const {
      std::string units = "u'";
      for (const char16_t unit : text.units) {
        units += to_hex(
            Bytes{static_cast<std::uint8_t>(unit >> 8U), static_cast<std::uint8_t>(unit & 0xFFU)});
      }
      return units + "'";
    }
  };
  return std::visit(Visitor{}, value);
}

std::string shown(const Row& row) {
  std::string text = "(";
  for (const Value& value : row) text += (text.size() > 1 ? ", " : "") + shown(value);
  return text + ")";
}

std::string shown(const std::vector<std::optional<Value>>& values) {
  std::string text = "(";
  for (const auto& value : values) {
    text += (text.size() > 1 ? ", " : "") + (value ? shown(*value) : std::string("-"));
  }
  return text + ")";
}

// One line a field, nested values indented.
class Printer {
 public:
  template <class T>
  using Ref = const T&;

  template <class T>
  void operator()(std::string_view name, const T& field) {
    std::cout << indent_ << name << ":";
    print(field);
  }
  void sentence(std::string_view name, const std::string& text) { (*this)(name, text); }

 private:
  template <class T>
  void print(const T& value) {
    if constexpr (codec::kNested<T>) {
      std::cout << "\n";
      indent_ += "  ";
      codec::fields(*this, value);
      indent_.resize(indent_.size() - 2);
    } else if constexpr (std::is_enum_v<T>) {
      line(std::to_string(static_cast<unsigned>(value)));
    } else if constexpr (std::is_arithmetic_v<T>) {
      line(std::to_string(value));
    } else {
      line(to_string(value));
    }
  }
  template <class T>
  void print(const std::optional<T>& value) {
    value ? print(*value) : line("-");
  }
  template <class T>
  void print(const std::vector<T>& list) {
    line(std::to_string(list.size()));
    indent_ += "  ";
    for (const T& element : list) {
      std::cout << indent_ << "-";
      print(element);
    }
    indent_.resize(indent_.size() - 2);
  }
  void print(const std::string& text) { line(in_quotes(text)); }
  void print(const Bytes& bytes) { line(to_hex(bytes)); }
  void print(Seq seq) { line(std::to_string(seq.value)); }
  void print(const Chain& chain) { line(to_string(chain.value)); }
  void print(const Value& value) { line(shown(value)); }
  void print(const Row& row) { line(shown(row)); }
  static void line(const std::string& text) { std::cout << " " << text << "\n"; }

  std::string indent_ = "  ";
};

void print_message(const Message& message) {
  std::cout << name_of(message) << "\n";
  Printer printer;
  std::visit([&](const auto& value) { codec::fields(printer, value); }, message);
  if (const auto* const chunk = std::get_if<SnapshotChunk>(&message)) {
    printer("payload", chunk->bytes);
  }
}

void print_beacon(const Beacon& b) {
  constexpr const char* kKinds[] = {"", "ANNOUNCE", "PROBE", "BYE"};
  std::cout << "beacon " << kKinds[static_cast<std::size_t>(b.kind)] << "\n  flags: " << +b.flags
            << "\n  protocol: " << +b.protocol_min << ".." << +b.protocol_max
            << "\n  cluster: " << to_string(b.cluster) << "\n  generation: " << b.generation
            << "\n  boot: " << b.boot << "\n  port: " << b.port << "\n  pub_port: " << b.pub_port
            << "\n  interval_ms: " << b.interval_ms << "\n  key: " << to_hex(b.key)
            << "\n  nonce: " << to_string(b.nonce) << "\n";
}

void print_change(const Change& change, const std::vector<ChangeTable>& tables) {
  if (const auto* const schema = std::get_if<SchemaStatement>(&change)) {
    std::cout << "  schema " << in_quotes(schema->sql) << "\n";
  } else if (const auto* const sequence = std::get_if<SequenceChange>(&change)) {
    std::cout << "  sequence " << in_quotes(sequence->table) << " "
              << shown({sequence->before, sequence->after}) << "\n";
  } else if (const auto* const row = std::get_if<RowChange>(&change)) {
    constexpr const char* kOps[] = {"", "insert", "update", "delete"};
    std::cout << "  " << kOps[static_cast<std::size_t>(row->op)] << " "
              << in_quotes(tables.at(row->table).name) << " key " << shown(row->key);
    if (row->new_key) std::cout << " new key " << shown(*row->new_key);
    std::cout << " old " << shown(row->old_values) << " new " << shown(row->new_values) << "\n";
  }
}

Status print_changeset(ByteView bytes) {
  ChangeReader reader;
  reader.feed(bytes);
  std::cout << "changeset\n";
  while (true) {
    Result<std::optional<Change>> change = reader.next();
    if (!change) return change.error();
    if (!*change) break;
    print_change(**change, reader.tables());
  }
  if (!reader.at_boundary()) return Error{Errc::kMalformed, "The changeset ends inside a record."};
  return Ok{};
}

Status print_frame(ByteView frame) {
  const Result<std::vector<Message>> messages = decode_joined(frame);
  if (!messages) return messages.error();
  for (const Message& message : *messages) print_message(message);
  return Ok{};
}

Status print_any(ByteView bytes) {
  const std::string_view text = as_text(bytes);
  if (text.starts_with("\xC5\x5A")) return print_frame(bytes);
  if (text.starts_with("CSA")) {
    const Result<Beacon> beacon = decode_beacon(bytes);
    if (!beacon) return beacon.error();
    print_beacon(*beacon);
    return Ok{};
  }
  const Result<TopicFrame> split = split_topic(bytes);
  if (split && as_text(split->frame).starts_with("\xC5\x5A")) return print_frame(split->frame);
  if (const Result<EntryHeader> header = decode_header(bytes)) {
    std::cout << "log header\n";
    Printer printer;
    codec::fields(printer, *header);
    return Ok{};
  }
  return print_changeset(bytes);
}

// Hex digits and white space are taken for hex, anything else for the bytes themselves.
Bytes bytes_of(const std::string& input) {
  std::string digits;
  std::copy_if(input.begin(), input.end(), std::back_inserter(digits),
               [](unsigned char c) { return std::isspace(c) == 0; });
  if (std::optional<Bytes> bytes = from_hex(digits)) return *bytes;
  return {input.begin(), input.end()};
}

}  // namespace
}  // namespace csa

int main(int argc, char** argv) {
  CLI::App app(
      "Prints a frame, beacon, log header or changeset of csa.\n"
      "Example: csa-dump tests/golden/hello.hex",
      "csa-dump");
  std::string path = "-";
  app.add_option("FILE", path, "hex digits or raw bytes; - is stdin");
  app.set_version_flag("--version", "csa-dump " CSA_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const csa::Result<std::string> input = csa::read_text_file(path == "-" ? "/dev/stdin" : path);
  if (!input) return csa::report_error("csa-dump", input.error());
  const csa::Status printed = csa::print_any(csa::bytes_of(*input));
  if (printed) return csa::finish_output("csa-dump", std::cout, 0);
  std::cerr << "csa-dump: " << printed.error().what << "\n";
  return printed.error().code == csa::Errc::kUnknownType ? 1 : 7;
}
