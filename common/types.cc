#include "common/types.h"

#include <charconv>
#include <cstdio>

#include "common/bytes.h"

namespace csa {

std::string to_string(const Id128& id) { return to_hex(id.bytes); }

std::string to_string(const NodeId& id) { return to_string(id.value); }

std::string to_string(const DbId& id) { return to_string(id.value); }

std::string to_string(const TxId& tx) {
  return to_string(tx.node) + ":" + std::to_string(tx.counter);
}

std::string to_string(const Epoch& epoch) {
  return std::to_string(epoch.generation) + "." + to_string(epoch.id).substr(0, 8);
}

std::string to_string(const Position& position) {
  return to_string(position.epoch) + ":" + std::to_string(position.seq.value);
}

std::string to_string(WallTime time) {
  using namespace std::chrono;
  const sys_time<milliseconds> moment{milliseconds{time.ms}};
  const auto day = floor<days>(moment);
  const year_month_day date{day};
  const hh_mm_ss clock{moment - day};
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
                static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()),
                static_cast<int>(clock.subseconds().count()));
  return text.data();
}

std::optional<Id128> parse_id128(std::string_view hex) {
  const std::optional<Bytes> bytes = from_hex(hex);
  Id128 id;
  if (!bytes || bytes->size() != id.bytes.size()) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), id.bytes.begin());
  return id;
}

std::optional<TxId> parse_tx_id(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::optional<Id128> node = parse_id128(text.substr(0, colon));
  TxId tx;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, tx.counter);
  if (!node || error != std::errc{} || stop != end) return std::nullopt;
  tx.node = NodeId{*node};
  return tx;
}

}  // namespace csa
