#include "broker/inbox_rows.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "common/value_json.h"

namespace csa {
namespace {

using Json = nlohmann::ordered_json;

// True: what is read back is the same. Most texts are themselves between quotes.
bool append_json_text(std::string_view text, std::string& out) {
  const auto is_plain = [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; };
  if (std::ranges::all_of(text, is_plain)) {
    out += '"';
    out += text;
    out += '"';
    return true;
  }
  const std::string json = to_line(Json(text));
  out += json;
  // Where it is not UTF-8, something else stands in its place.
  const bool ascii = std::ranges::all_of(text, [](char c) { return c >= 0; });
  return ascii || Json::parse(json).get_ref<const std::string&>() == text;
}

bool append_json_value(const Value& value, std::string& out) {
  if (const auto* const text = std::get_if<Text>(&value)) return append_json_text(text->utf8, out);
  if (const auto* const number = std::get_if<std::int64_t>(&value)) {
    out += std::to_string(*number);
    return true;
  }
  if (std::holds_alternative<Null>(value)) {
    out += "null";
    return true;
  }
  out += to_line(value_json(value));
  const auto* const real = std::get_if<double>(&value);
  return real != nullptr && std::isfinite(*real);
}

bool is_told_as_null(const Value& value) {
  const auto* const real = std::get_if<double>(&value);
  return std::holds_alternative<Null>(value) || (real != nullptr && std::isnan(*real));
}

// Zero has a sign.
bool is_same(const Value& a, const Value& b) {
  const auto* const real = std::get_if<double>(&a);
  if (a != b) return false;
  return real == nullptr || std::signbit(*real) == std::signbit(std::get<double>(b));
}

std::optional<Value> told_value(const Json& json) {
  if (json.is_null()) return Null{};
  if (json.is_number_integer()) return json.get<std::int64_t>();
  if (json.is_number_float()) return json.get<double>();
  if (json.is_string()) return Text{json.get<std::string>()};
  return std::nullopt;
}

}  // namespace

void InboxRows::name_columns(const std::vector<std::string>& columns) {
  if (columns == columns_) return;
  columns_ = columns;
  names_.clear();
  names_exact_ = true;
  for (const std::string& column : columns) {
    std::string& name = names_.emplace_back();
    names_exact_ = append_json_text(column, name) && names_exact_;
    name += ':';
  }
  std::vector<std::string> sorted = names_;  // where two are not UTF-8 they may look alike
  std::ranges::sort(sorted);
  named_alike_ = std::ranges::adjacent_find(sorted) != sorted.end();
}

bool InboxRows::append_row(const Row& row, std::string& out) const {
  bool exact = names_exact_ && row.size() == names_.size();
  out += '{';
  for (std::size_t i = 0; i < names_.size() && i < row.size(); ++i) {
    if (i > 0) out += ',';
    out += names_[i];
    exact = append_json_value(row[i], out) && exact;
  }
  out += '}';
  return exact;
}

bool InboxRows::append_changed(const Row& row, const Row& base, std::string& out,
                               bool& exact) const {
  if (row.size() != names_.size() || base.size() != names_.size()) return false;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    // To a patch NULL, as which a NaN is told, means that there is no such column.
    if (is_told_as_null(row[i]) && !std::holds_alternative<Null>(base[i])) return false;
  }
  out += "[{";
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (is_same(row[i], base[i])) continue;
    if (out.back() != '{') out += ',';
    out += names_[i];
    exact = append_json_value(row[i], out) && exact;
  }
  out += "}]";
  return true;
}

void InboxRows::set(const std::vector<std::string>& columns, const Versions& versions) {
  name_columns(columns);
  bool exact = !named_alike_;
  for (std::size_t i = 0; i < versions.size(); ++i) {
    std::string& text = texts_[i];
    text.clear();
    there_[i] = versions[i] != nullptr;
    if (!there_[i]) continue;
    if (!named_alike_) {
      const bool changed =
          i > 0 && there_[0] && append_changed(*versions[i], *versions[0], text, exact);
      if (!changed) exact = append_row(*versions[i], text) && exact;
      continue;
    }
    // Of a journal that names two columns alike the later value is told.
    Json object = Json::object();
    for (std::size_t k = 0; k < columns.size() && k < versions[i]->size(); ++k) {
      object[columns[k]] = value_json((*versions[i])[k]);
    }
    text = to_line(object);
  }
  exact_.clear();
  if (exact && std::ranges::find(there_, true) != there_.end()) return;
  RowSet set{columns, {}};
  for (const Row* const version : versions) {
    set.rows.push_back(version == nullptr ? Row{} : *version);
  }
  exact_ = encode_rows(set);
}

std::optional<std::string_view> InboxRows::text(std::size_t version) const {
  if (!there_.at(version)) return std::nullopt;
  return texts_[version];
}

std::optional<RowSet> read_versions(const StoredVersions& stored) {
  if (!stored.rows.empty()) {
    Result<RowSet> set = decode_rows(stored.rows);
    if (!set || set->rows.size() != stored.texts.size()) return std::nullopt;
    return std::move(*set);
  }
  RowSet set;
  for (const std::optional<std::string>& text : stored.texts) {
    Row& row = set.rows.emplace_back();
    if (!text) continue;
    const Json json = Json::parse(*text, nullptr, false);
    if (!json.is_object()) return std::nullopt;
    std::vector<std::string> columns;
    for (const auto& [name, told] : json.items()) {
      std::optional<Value> value = told_value(told);
      if (!value) return std::nullopt;
      columns.push_back(name);
      row.push_back(std::move(*value));
    }
    if (set.columns.empty()) set.columns = columns;
    if (set.columns != columns) return std::nullopt;
  }
  if (set.columns.empty()) return std::nullopt;
  return set;
}

}  // namespace csa
