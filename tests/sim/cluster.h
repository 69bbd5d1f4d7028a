// One simulated run: a broker, some nodes, writers, faults by seed, and at the end healing, quiet
// and the last comparisons.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "tests/sim/checkers.h"
#include "tests/sim/liveness.h"
#include "tests/sim/run_options.h"
#include "tests/sim/sim_admin.h"
#include "tests/sim/sim_broker.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/world.h"

namespace csa::test {
class EditStory;
struct StoryEdit;
}  // namespace csa::test

namespace csa::sim {

struct RunReport {
  bool ok = false;
  std::string violation;
  std::vector<std::string> transcript;
  std::map<std::string, std::uint64_t> counts;
  std::size_t acknowledged = 0;
};

inline constexpr int kAdminParty = 100;

class Cluster {
 public:
  // `folder` is empty and the run's own.
  Cluster(std::uint64_t seed, std::string folder, RunOptions options);
  [[nodiscard]] RunReport run();

 private:
  void create_master();
  void prepare();
  void begin_faults();
  void let_nodes_crash(double probability);  // at labelled points
  void schedule_fault();
  void one_fault();
  [[nodiscard]] static const char* part_of(std::uint64_t fault);
  void begin_fault(std::uint64_t fault, SimNode& node);
  void clog_links();
  // disk_faults.cc
  void disk_fault(SimNode& node);
  void check_left(int party);
  void died(const SimNode& node);  // after each of its crashes
  void heal_and_settle();
  // workload.cc
  void schedule_writes(SimNode& node);
  void write(SimNode& node);
  void write_the_same(SimNode& node);
  const SimNode* repeats_itself_ = nullptr;  // writes the same more often
  bool set_back_ = false;
  [[nodiscard]] std::string random_sql(const std::string& tag);
  void schedule_migrations();
  [[nodiscard]] std::string random_migration();
  // offline_story.cc
  void tell_offline_story();
  void set_story_rules(const test::EditStory& story);
  void part(const test::EditStory& story, std::int64_t at);
  void make_edit(SimNode& node, const test::StoryEdit& edit);
  [[nodiscard]] bool is_equal(const SimNode& node) const;
  void note_arrivals(const CommitResult& result);
  void come_back(bool may_lose_master);
  [[nodiscard]] bool lose_master_with_all_saved();
  void check_story(const test::EditStory& story) const;
  void run_until(const std::function<bool()>& done, Duration within, const char* what);
  void boot_broker();
  [[nodiscard]] milliseconds any_hours(std::int64_t hours);  // -hours to hours
  // disaster.cc
  void back_up();
  void lose_master();
  void lose_master_with_answers();
  bool loses_answers_ = false;  // the master, as soon as a journal is answered and not yet empty
  void restore_from(const std::string& file);
  void recover_lost();
  void schedule_set_back();
  // rot.cc
  void keep_wrongly();
  void stop_to_rot(SimNode& node);
  void keep_row_wrongly(SimNode& node);
  void keep_bit_wrongly(SimNode& node);
  void verify_all();
  // rot_stores.cc
  void write_some(SimNode& node);
  void keep_log_wrongly(SimNode& node);
  void keep_journal_wrongly(SimNode& node);
  void keep_spool_wrongly(SimNode& node);
  // calm.cc: after everything is healed, phases in which nothing may go wrong.
  void stay_calm();
  void be_silent();
  void lose_updates();
  void let_one_sleep();
  void calm_write(SimNode& node);
  void schedule_calm_writes(SimNode& node, TimePoint end);
  void run_calm(Duration time);
  [[nodiscard]] bool settled() const;
  void compare_all();

  const RunOptions options_;
  World world_;
  const std::string folder_;
  SimDisk disk_{world_, folder_};
  const std::string master_;
  std::string backup_;  // empty: there is none
  Checkers checkers_;
  std::unique_ptr<SimBroker> broker_;
  std::unique_ptr<SimAdmin> admin_;
  std::uint64_t migrations_ = 0;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  std::unique_ptr<Liveness> liveness_;
  std::map<std::string, TimePoint> answers_due_;  // by tag
  std::vector<TxId> arrivals_;                    // of a story, as the master took them
  std::map<TxId, std::int64_t> story_edits_;      // their times in the story
  std::set<TxId> on_their_way_;                   // of its online edits, journaled meanwhile
  TimePoint faults_end_;
  std::error_code ignored_;
  std::uint64_t next_tag_ = 1;
  bool huge_rows_ = false;      // more than memory keeps of a transaction
  std::set<int> copies_asked_;  // by whom
  std::set<int> rotten_;        // what their files hold is not what was written
};

// Runs one seed in a folder of its own below the system's temporary folder, removed afterwards.
[[nodiscard]] RunReport run_seed(std::uint64_t seed, const RunOptions& options = {});

}  // namespace csa::sim
