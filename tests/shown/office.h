// A broker's computer and a laptop on one LAN: what is typed at each, and what the laptop's network
// card carries.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/system/lan.h"
#include "tests/system/place.h"

namespace csa::shown_test {

class Office {
 public:
  // The laptop takes its replica, and leaves. `broker`: more arguments of csa-broker serve.
  explicit Office(const std::string& schema, system_test::Words broker = {});

  void serve();
  void stop_broker();
  // SQL statements, at the office beside the broker or at the laptop, which then looks for a broker
  // only a moment.
  void type_at_office(const std::string& sql) { type("office", "office.db", sql, "5s"); }
  void type_at_laptop(const std::string& sql) { type("laptop", "laptop.db", sql, "100ms"); }
  // csa-node with these words at the laptop.
  [[nodiscard]] system_test::Launch laptop(const system_test::Words& words) const;
  // csa-admin with these words beside the broker.
  [[nodiscard]] system_test::Finished admin(const system_test::Words& words) const;
  // Bytes that its network card has carried, both ways.
  [[nodiscard]] std::uint64_t carried() const;
  // Of the log as it is now.
  [[nodiscard]] std::int64_t log_bytes() const;
  [[nodiscard]] const system_test::Place& place() const { return place_; }

 private:
  void type(const std::string& computer, const std::string& replica, const std::string& sql,
            const char* discovery);

  system_test::Place place_;
  system_test::Lans lans_;
  system_test::Words flags_;
  std::optional<system_test::Program> broker_;
};

}  // namespace csa::shown_test
