#include "protocol/thread_set.h"

#include "protocol/error.h"
#include "protocol/log.h"

#include <thread>
#include <utility>

namespace towline {

ThreadSet::~ThreadSet() {
  std::unique_lock lock(mutex_);
  left_.wait(lock, [this] { return running_ == 0; });
}

void ThreadSet::start(std::string name, std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (running_ >= threads_max_) {
      throw Error(Errc::too_large, "start " + name + ": " + std::to_string(threads_max_) +
                                       " run already (wait for one to end)");
    }
    ++running_;
  }
  try {
    std::thread([this, name = std::move(name), work = std::move(work)]() mutable {
      try {
        work();
      } catch (const std::exception& failure) {
        log::error("{}: {}", name, failure.what());
      }
      work = nullptr;  // what it holds goes before the set may
      leave();
    }).detach();
  } catch (...) {  // no thread was made: it must not be waited for
    leave();
    throw;
  }
}

std::size_t ThreadSet::running() const {
  const std::lock_guard lock(mutex_);
  return running_;
}

void ThreadSet::leave() {
  const std::lock_guard lock(mutex_);
  --running_;
  left_.notify_all();  // under the lock: the set may be gone right after it
}

}  // namespace towline
