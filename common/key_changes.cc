#include "common/key_changes.h"

#include <cstdint>
#include <nlohmann/json.hpp>

namespace csa {

std::string to_json(const std::vector<KeyChange>& keys) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const KeyChange& key : keys) {
    list.push_back({{"table", key.table}, {"before", key.before}, {"after", key.after}});
  }
  return list.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::vector<KeyChange> keys_of_json(const std::string& text) {
  std::vector<KeyChange> keys;
  try {
    for (const nlohmann::json& key : nlohmann::json::parse(text)) {
      keys.push_back({key.at("table").get<std::string>(), key.at("before").get<std::int64_t>(),
                      key.at("after").get<std::int64_t>()});
    }
  } catch (const nlohmann::json::exception&) {
    keys.clear();
  }
  return keys;
}

}  // namespace csa
