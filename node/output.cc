#include "node/output.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "common/counted.h"
#include "common/key_changes.h"
#include "common/limits.h"
#include "common/terminal_text.h"
#include "common/value_json.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kTableSample = 200;  // rows that decide the widths
constexpr std::size_t kKeysTold = 10;      // in a sentence
constexpr std::size_t kCellMax = 60;       // columns of one cell on a terminal

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string joined(const std::vector<std::string>& cells) {
  std::string line;
  for (const std::string& cell : cells) {
    if (!line.empty()) line += ',';
    line += cell;
  }
  return line;
}

}  // namespace

std::optional<RowFormat> parse_row_format(std::string_view text) {
  if (text == "table") return RowFormat::kTable;
  if (text == "json") return RowFormat::kJson;
  if (text == "csv") return RowFormat::kCsv;
  return std::nullopt;
}

RowPrinter::RowPrinter(std::ostream& out, RowFormat format, std::vector<std::string> columns)
    : out_(out), format_(format), columns_(std::move(columns)), numbers_(columns_.size(), true) {
  for (const std::string& column : columns_) widths_.push_back(display_width(printable(column)));
  if (format_ == RowFormat::kJson || format_ == RowFormat::kJsonLine) out_ << '[';
  if (format_ == RowFormat::kCsv) {
    std::vector<std::string> cells;
    for (const std::string& column : columns_) cells.push_back(csv_cell(column));
    out_ << joined(cells) << "\r\n";
  }
}

void RowPrinter::row(const Row& row) {
  switch (format_) {
    case RowFormat::kJson:
    case RowFormat::kJsonLine: {
      Json object = Json::object();
      for (std::size_t i = 0; i < columns_.size(); ++i) object[columns_[i]] = value_json(row[i]);
      if (started_) out_ << (format_ == RowFormat::kJson ? ",\n" : ",");
      out_ << to_line(object);
      started_ = true;
      return;
    }
    case RowFormat::kCsv: {
      std::vector<std::string> cells;
      for (const Value& value : row) cells.push_back(csv_cell(value_text(value)));
      out_ << joined(cells) << "\r\n";
      return;
    }
    case RowFormat::kTable:
      break;
  }
  std::vector<std::string> cells;
  for (std::size_t i = 0; i < row.size(); ++i) {
    cells.push_back(people_text(row[i]));
    if (!std::holds_alternative<std::int64_t>(row[i]) && !std::holds_alternative<double>(row[i]) &&
        !std::holds_alternative<Null>(row[i])) {
      numbers_[i] = false;
    }
    if (!started_) widths_[i] = std::min(kCellMax, std::max(widths_[i], display_width(cells[i])));
  }
  if (started_) return table_row(cells);
  waiting_.push_back(std::move(cells));
  if (waiting_.size() == kTableSample) flush_table();
}

void RowPrinter::table_row(const std::vector<std::string>& cells) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) line += "  ";
    line += padded(cells[i], widths_[i], numbers_[i]);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out_ << line << '\n';
}

void RowPrinter::flush_table() {
  if (started_) return;
  started_ = true;
  std::vector<std::string> heading;
  for (const std::string& column : columns_) heading.push_back(printable(column));
  table_row(heading);
  std::vector<std::string> rules;
  for (const std::size_t width : widths_) rules.emplace_back(width, '-');
  table_row(rules);
  for (const auto& cells : waiting_) table_row(cells);
  waiting_.clear();
}

void RowPrinter::finish() {
  if (format_ == RowFormat::kTable && !columns_.empty()) flush_table();
  if (format_ == RowFormat::kJson || format_ == RowFormat::kJsonLine) out_ << "]\n";
  out_.flush();
}

Json keys_json(const std::vector<ChangedKey>& keys) {
  Json list = Json::array();
  for (const ChangedKey& key : keys) {
    list.push_back({{"table", key.table}, {"before", key.before}, {"after", key.after}});
  }
  return list;
}

std::string keys_sentence(const std::vector<ChangedKey>& keys) { return sentence_of_keys(keys); }

std::string exec_json(const WriteResult& r) {
  Json json;
  switch (r.status) {
    case WriteResult::Status::kCommitted:
      json = {{"status", "committed"}, {"seq", r.seq}, {"changes", r.changes}};
      if (!r.outcome.empty()) json = {{"status", "committed"}, {"seq", r.seq}};
      break;
    case WriteResult::Status::kJournaled:
      json = {{"status", "journaled"}, {"pending", r.pending}, {"changes", r.changes}};
      break;
    case WriteResult::Status::kRejected:
      json = {{"status", "rejected"},
              {"code", r.code},
              {"message", r.message},
              {"statement", r.statement}};
      break;
    case WriteResult::Status::kNoBroker:
      json = {
          {"status", "rejected"}, {"code", "no-broker"}, {"message", r.message}, {"statement", 0}};
      break;
    case WriteResult::Status::kUnknown:
      json = {{"status", "unknown"}, {"tx", r.tx}, {"message", r.message}};
      return to_line(json);
  }
  if (!r.outcome.empty()) {
    json["outcome"] = r.outcome;
    json["reason"] = r.message;
    json["keys"] = keys_json(r.keys);
  } else if (r.status == WriteResult::Status::kCommitted ||
             r.status == WriteResult::Status::kJournaled) {
    json["last_insert_rowid"] = nullptr;
    if (r.last_insert_rowid) json["last_insert_rowid"] = *r.last_insert_rowid;
    if (!r.visible) json["visible"] = false;
    if (!r.columns.empty()) {
      Json rows = Json::array();
      for (const Row& row : r.rows) {
        Json object = Json::object();
        for (std::size_t i = 0; i < r.columns.size(); ++i) {
          object[r.columns[i]] = value_json(row[i]);
        }
        rows.push_back(std::move(object));
      }
      json["rows"] = std::move(rows);
    }
  }
  json["tx"] = r.tx;
  return to_line(json);
}

std::string exec_sentence(const WriteResult& r) {
  if (!r.outcome.empty()) {
    const bool lost = r.code == "lost";
    std::string text = lost ? "made online, and lost with the master; " : "made offline; ";
    text += r.outcome + ", seq " + std::to_string(r.seq);
    if (!r.message.empty()) text += ": " + printable(r.message);
    if (!r.keys.empty()) text += "; " + keys_sentence(r.keys);
    if (r.status == WriteResult::Status::kRejected) {
      text += lost ? "; see csa-admin recover" : "; see csa-admin conflicts list";
    }
    return text;
  }
  switch (r.status) {
    case WriteResult::Status::kCommitted: {
      std::string text =
          counted(r.changes, "row", "rows") + " changed, seq " + std::to_string(r.seq);
      if (!r.visible) text += " (committed; this replica does not show it yet)";
      return text;
    }
    case WriteResult::Status::kJournaled:
      return counted(r.changes, "row", "rows") +
             " changed, kept on this computer until it reconnects";
    case WriteResult::Status::kRejected:
      return "rejected (" + r.code + ", statement " + std::to_string(r.statement) +
             "): " + printable(r.message);
    case WriteResult::Status::kNoBroker:
      return printable(r.message);
    case WriteResult::Status::kUnknown:
      return "outcome unknown: " + printable(r.message) +
             (r.tx.empty() ? "" : " Ask later: csa-node outcome " + r.tx);
  }
  return {};
}

int exec_exit_code(const WriteResult& result) {
  switch (result.status) {
    case WriteResult::Status::kCommitted:
    case WriteResult::Status::kJournaled:
      return 0;
    case WriteResult::Status::kNoBroker:
      return 3;
    case WriteResult::Status::kRejected:
      return 5;
    case WriteResult::Status::kUnknown:
      return 6;
  }
  return 1;
}

std::string status_json(const ClientStatus& s, const std::vector<std::string>& kept) {
  Json json = {{"state", to_string(s.state)},
               {"group", s.group},
               {"node", s.node},
               {"hostname", s.hostname}};
  json["position"] = nullptr;
  if (!s.epoch.empty()) json["position"] = Json{{"epoch", s.epoch}, {"seq", s.seq}};
  json["broker"] = nullptr;
  if (!s.broker_address.empty()) {
    json["broker"] = Json{
        {"address", s.broker_address}, {"hostname", s.broker_hostname}, {"head", s.broker_head}};
  }
  json["pending"] = s.pending;
  json["replica"] = s.replica;
  json["schema_version"] = s.schema_version;
  json["kept_aside"] = kept;
  json["text"] = s.text;
  json["stalled"] = s.stalled;
  return to_line(json);
}

std::string status_text(const ClientStatus& s, const std::vector<std::string>& kept) {
  std::string text = "state      " + std::string(to_string(s.state)) + "\n";
  if (!s.text.empty()) text += "           " + printable(s.text) + "\n";
  text += "group      " + s.group + "\n";
  text += "node       " + s.node + " (" + printable(s.hostname) + ")\n";
  text += "position   " + (s.epoch.empty() ? "-" : s.epoch + ":" + std::to_string(s.seq)) + "\n";
  text += "broker     ";
  text += s.broker_address.empty() ? "none"
                                   : s.broker_address + " (" + printable(s.broker_hostname) +
                                         "), head " + std::to_string(s.broker_head);
  text += "\nwaiting    " + counted(s.pending, "change", "changes") + " not yet handed over\n";
  text += "replica    " + s.replica + ", schema version " + std::to_string(s.schema_version);
  for (const std::string& path : kept) {
    text += "\nkept aside " + printable(path);
  }
  return text;
}

Value parse_parameter(std::string_view text) {
  const char* const end = text.data() + text.size();
  std::int64_t integer = 0;
  if (const auto r = std::from_chars(text.data(), end, integer);
      r.ec == std::errc{} && r.ptr == end && std::to_string(integer) == text) {
    return integer;
  }
  double real = 0;
  if (const auto r = std::from_chars(text.data(), end, real, std::chars_format::fixed);
      r.ec == std::errc{} && r.ptr == end) {
    std::array<char, 400> again{};
    const auto w =
        std::to_chars(again.data(), again.data() + again.size(), real, std::chars_format::fixed);
    const std::string_view printed(again.data(), static_cast<std::size_t>(w.ptr - again.data()));
    if (printed == text && text.find('.') != std::string_view::npos) return real;
  }
  if (text == "null") return Null{};
  if (text.size() >= 3 && text.substr(0, 2) == "x'" && text.back() == '\'') {
    if (auto blob = from_hex(text.substr(2, text.size() - 3))) return *blob;
  }
  return Text{std::string(text)};
}

}  // namespace csa
