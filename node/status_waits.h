// Callers that wait for a client's status to become what they want. Belongs to the thread that
// knows the status.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <vector>

#include "common/types.h"
#include "node/backend.h"

namespace csa {

class StatusWaits {
 public:
  struct Wait {
    Backend::Condition reached;
    Backend::Condition given_up;  // may be empty: never
    TimePoint deadline;
    std::shared_ptr<std::promise<bool>> answer;
  };

  void add(Wait wait) { waits_.push_back(std::move(wait)); }
  [[nodiscard]] bool empty() const { return waits_.empty(); }
  // Answers everybody for whom it is decided; `over`: there will be no other status.
  void check(const ClientStatus& status, TimePoint now, bool over) {
    std::vector<Wait> still;
    for (Wait& wait : waits_) {
      if (wait.reached(status)) {
        wait.answer->set_value(true);
      } else if (over || now >= wait.deadline || (wait.given_up && wait.given_up(status))) {
        wait.answer->set_value(false);
      } else {
        still.push_back(std::move(wait));
      }
    }
    waits_.swap(still);
  }

 private:
  std::vector<Wait> waits_;
};

}  // namespace csa
