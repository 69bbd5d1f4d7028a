// A node's journal on its way to the broker: read in order, sent in parts within a window, answers
// marked in the replica; begun again where the broker says so, after a lost link, after silence.
// Part of Session. Pure, not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/message.h"
#include "node/session.h"

namespace csa {

class Handover {
 public:
  explicit Handover(std::uint64_t seed) : random_(seed) {}

  // A link is there, and the replica has a journal. Of entries up to counter `known_to` the broker
  // likely has the outcomes: they are asked for by a byte of each, and sent where it has none.
  void start(TimePoint now, std::uint64_t known_to = 0);
  // No link (any more), or no journal. Answers that are not marked yet are forgotten: the next
  // broker may be one that never gave them.
  void stop();
  [[nodiscard]] bool running() const { return running_; }
  // Entries were appended to the journal.
  void on_appended() { end_read_ = false; }

  void on_replayed(const Replayed& answer, TimePoint now);
  // Answers of the store.
  void on_read(std::vector<Replay> replays);
  void on_marked() { marking_ = false; }
  // The store could not do the job that was out: it is asked again later.
  void on_store_failed(TimePoint now);

  [[nodiscard]] std::optional<StoreJob> take_job(TimePoint now);
  // What to send now.
  [[nodiscard]] std::vector<Replay> take_requests(TimePoint now);
  [[nodiscard]] std::optional<TimePoint> deadline() const;
  // Once a link: the broker keeps asking for what is before an entry, and what is marked as
  // answered is not sent. True: it does not have those outcomes, so all entries are to be handed
  // over anew.
  [[nodiscard]] bool take_doubt() { return std::exchange(doubt_, false); }
  // Outcomes that the broker likely has are on their way into the replica. That takes moments:
  // what else would keep the node from it waits.
  [[nodiscard]] bool asks() const;
  // Every answer that came is marked in the replica.
  [[nodiscard]] bool all_marked() const { return answers_.empty() && !marking_; }
  // Why the broker does not take the journal's next entry; empty: nothing is wrong.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }

 private:
  struct Part {  // sent, no answer yet
    TxId tx;
    std::uint64_t previous = 0;
    std::uint64_t end = 0;  // offset behind its last byte
    std::size_t bytes = 0;
    bool last = false;  // of its entry
    bool asks = false;  // for the outcome only
  };
  // The broker does not get on: `text` for people, and from the entry behind `previous` after a
  // while that grows.
  void be_patient(std::uint64_t previous, std::string text, TimePoint now);
  void take_questions(std::vector<Replay> questions);
  // What is read, or being read, of a settled entry is not sent any more.
  void skip_rest(std::uint64_t counter);
  // From the entry behind counter `after` on, not before `at`.
  void begin_again(std::uint64_t after, TimePoint at);

  std::mt19937_64 random_;
  bool running_ = false;
  std::uint64_t known_to_ = 0;
  std::uint64_t after_ = 0;   // entries up to this counter are read ...
  std::uint64_t offset_ = 0;  // ... and so much of the next one
  bool reading_ = false;
  bool drop_read_ = false;  // what is being read is not wanted any more
  bool end_read_ = false;   // the journal holds nothing behind after_
  bool marking_ = false;
  int troubles_ = 0;
  int agains_ = 0;  // since the last outcome
  bool doubted_ = false;
  bool doubt_ = false;
  std::string trouble_;
  std::optional<TimePoint> wait_until_;
  TimePoint heard_{};
  std::deque<Replay> ready_;
  std::deque<Part> sent_;
  std::size_t sent_bytes_ = 0;
  std::vector<Replayed> answers_;  // outcomes, not yet marked
};

}  // namespace csa
