// What must hold in every simulated run, asked after every step that changes a database. A checker
// throws Violation with a sentence; it knows nothing of how csa does it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "broker/jobs.h"
#include "common/message.h"
#include "common/types.h"
#include "node/session.h"
#include "tests/sim/contents.h"

namespace csa::sim {

struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Checkers {
 public:
  // `master`: path of the master's file, opened anew for each look, read-only.
  explicit Checkers(std::string master) : master_(std::move(master)) {}

  // The simulator restores the master, or writes to its file: nothing else begins a new history.
  void expects_history() { expects_history_ = true; }
  void in_history_of(const Position& position);
  // G2, G7: remembers what the master held after a commit; `pieces` are the commit's transactions.
  void master_at(const Position& position, const std::vector<LogPiece>& pieces);
  // G2, G4, G5: the replica is exactly the master at its position, and never goes back.
  // `alone`: it has a journal, so its content is that position's and its own changes.
  void replica_at(int party, const std::string& path, const Position& position, bool alone);
  // Its program ends, or the file is about to be another: nothing of the checkers holds it open.
  void closes(const std::string& path) { contents_now_.close(path); }
  void replica_restarted(int party);  // a position may be older after a crash that forgot a tail
  // Its disk is an older one: what was made since and is not at the master is gone.
  void replica_set_back(int party);

  // Every write carries a tag of its own that it inserts once.
  void sent(const std::string& tag) { sent_.insert(tag); }
  void answered(int party, const std::string& tag, const WriteDone& done);
  // Writes that are all alike: each adds a row of its own to `again`.
  void sent_alike() { ++alike_sent_; }
  void answered_alike(const WriteDone& done);
  // Any write: what is committed under a TxId was asked for once.
  void answered_by_itself(const WriteDone& done);
  // What was made offline takes effect in the order in which it was made; `outcomes` of a commit.
  void replayed(const std::vector<WriteOutcome>& outcomes);
  // These have theirs, of a commit that nobody was told of.
  void has_outcomes(const std::vector<TxId>& settled);
  // G4: an answer that says visible must be visible.
  void visible(int party, const std::string& path, const std::string& tag);

  // The master's disk is gone, the `replicas` are there. What was acknowledged before and is not in
  // the file that goes on may be missing; but what a replica has applied and its log still tells
  // must be offered, and be there again once it was recovered.
  void master_lost(const std::vector<std::string>& replicas);
  void master_restored(const Position& position);
  // All but those that only a person can judge: so many.
  [[nodiscard]] std::size_t all_recovered();

  // G1, G3: acknowledged exactly once, rejected not at all, unknown at most once.
  void tags() const;
  void alike() const;
  // At the end: everything equal, including rowids and sqlite_sequence; files sound.
  void equal(const std::string& replica) const;
  void sound(const std::string& path) const;

  // Writes whose fate is checked: answered *ok*, or *journaled* and then merged.
  [[nodiscard]] std::size_t acknowledged() const { return committed_.size() + journaled_.size(); }

 private:
  void whole();
  // Whatever the journal waits for, its node has it.
  void shows_own(int party, const std::string& path);
  // The journal is gone: all that was in it is in the tables or in the inbox.
  void keeps_own(int party, const std::string& path);
  void takes_last_words(int party, const std::string& path);
  // What its log can offer of a lost history.
  void hold(int party, const Database& db);
  // What was committed under TxIds of which the master's log does not tell.
  void forget_unlogged(const Database& master);

  std::string master_;
  Contents contents_now_;
  using Key = std::tuple<std::uint64_t, Id128, std::uint64_t>;  // generation, id, seq
  std::map<Key, std::string> contents_;                         // at the ends of commits
  std::map<Key, Chain> chains_;                                 // of every transaction
  std::map<int, Position> last_;
  Epoch epoch_;  // the master's
  bool expects_history_ = false;
  std::set<std::string> sent_, committed_, rejected_;
  std::set<std::string> journaled_;
  std::set<TxId> committed_as_;
  // They use TxIds a second time. Which entry another follows is known by its TxId alone, so where
  // what was sent first gets lost, a later one can be taken to follow what the first life sent.
  std::set<int> set_back_;
  std::uint64_t alike_sent_ = 0, alike_done_ = 0, alike_refused_ = 0;
  std::map<int, std::set<TxId>> waiting_;            // made offline, without an outcome
  std::map<int, std::set<std::string>> in_journal_;  // tags, at their node
  std::set<std::string> had_;                        // by the lost master, in its rows or its inbox
  std::set<std::string> waits_;                      // in a journal still: must come anew
  std::set<std::string> doubtful_;                   // as they were offered
  std::set<std::string> lost_;                       // with it
  std::map<int, std::set<std::string>> held_;        // by a replica that can offer it
  std::int64_t lost_floor_ = 0;                      // of the lost master's log
  bool restored_ = false;
  bool recovered_ = false;
};

}  // namespace csa::sim
