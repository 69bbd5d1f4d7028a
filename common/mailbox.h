// A bounded queue between threads: the only object of csa that more than one thread touches, and
// the only lock. A reader may block on it, or wait for its descriptor together with sockets.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include "common/types.h"

namespace csa {

template <class T>
class Mailbox {
 public:
  explicit Mailbox(std::size_t capacity)
      : capacity_(capacity), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (wake_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  }
  ~Mailbox() { ::close(wake_); }
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  // False: full or closed; the value is dropped. Never blocks.
  bool push(T value) { return add(std::move(value), capacity_); }
  // Also where it is full, for what must not be lost and is bounded by its sender: each waits for
  // what it has sent. False: closed; the value is dropped. Never blocks.
  bool push_beyond(T value) { return add(std::move(value), kNoBound); }

  // nullopt: empty. Never blocks.
  [[nodiscard]] std::optional<T> pop() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return take();
  }

  // nullopt: nothing came within `limit`, or closed and empty.
  [[nodiscard]] std::optional<T> wait_pop(Duration limit) {
    std::unique_lock<std::mutex> lock(mutex_);
    ready_.wait_for(lock, limit, [this] { return closed_ || !queue_.empty(); });
    return take();
  }

  // No more is taken in; what is inside can still be popped.
  void close() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      closed_ = true;
    }
    ready_.notify_all();
    wake();
  }
  [[nodiscard]] bool closed() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return closed_;
  }

  // Readable while there is something to pop. Owned by the mailbox.
  [[nodiscard]] int wake_fd() const { return wake_; }

 private:
  static constexpr std::size_t kNoBound = std::numeric_limits<std::size_t>::max();

  bool add(T&& value, std::size_t bound) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (closed_ || queue_.size() >= bound) return false;
      queue_.push_back(std::move(value));
    }
    ready_.notify_one();
    wake();
    return true;
  }
  void wake() const {
    const std::uint64_t one = 1;
    // Fails only where the counter is full, and then it is readable anyway.
    if (::write(wake_, &one, sizeof one) < 0) return;
  }

  // REQUIRES: the lock is held.
  std::optional<T> take() {
    if (queue_.empty()) {
      std::uint64_t count = 0;
      if (!closed_ && ::read(wake_, &count, sizeof count) < 0) return std::nullopt;
      return std::nullopt;
    }
    std::optional<T> value(std::move(queue_.front()));
    queue_.pop_front();
    return value;
  }

  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<T> queue_;
  const std::size_t capacity_;
  const int wake_;
  bool closed_ = false;
};

}  // namespace csa
