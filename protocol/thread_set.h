#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>

namespace towline {

/// Threads that belong to nobody but end before this is destroyed: one a flight,
/// since a flight blocks on disk and on a full link for as long as it likes, which the
/// worker pool must not. What they run has to end by itself once its queues are aborted.
class ThreadSet {
 public:
  explicit ThreadSet(std::size_t threads_max) : threads_max_(threads_max) {}
  ~ThreadSet();
  ThreadSet(const ThreadSet&) = delete;
  ThreadSet& operator=(const ThreadSet&) = delete;

  /// Runs `work` on a thread of its own; failures are logged under `name`. Throws
  /// Errc::too_large when threads_max run already. Any thread.
  void start(std::string name, std::function<void()> work);

  std::size_t running() const;

 private:
  void leave();

  const std::size_t threads_max_;
  mutable std::mutex mutex_;
  std::condition_variable left_;
  std::size_t running_ = 0;
};

}  // namespace towline
