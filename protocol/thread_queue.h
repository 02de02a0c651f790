#pragma once

#include "protocol/error.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace towline {

/// A bounded queue between the loop and one thread that may block (docs/threading.md).
/// Each item has a weight, in bytes; whoever pushes waits while the queue is over its capacity.
/// The functions named async_* are for coroutines of the loop, the others for the
/// thread. Hold it in a shared_ptr: both sides outlive each other in either order.
///
/// close(): nothing more is pushed; what is in it is still popped, then nullopt.
/// abort(): both sides get Errc::disconnected at once, now and later.
template <class T>
class ThreadQueue : public std::enable_shared_from_this<ThreadQueue<T>> {
 public:
  ThreadQueue(boost::asio::any_io_executor loop, std::size_t capacity)
      : capacity_(capacity),
        changed_(std::move(loop), boost::asio::steady_timer::time_point::max()) {}

  void push(T item, std::size_t weight) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return aborted_ || has_room(); });
    if (aborted_) throw Error(Errc::disconnected, "queue");
    put(std::move(item), weight);
    lock.unlock();
    wake_loop();
  }

  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    filled_.wait(lock, [this] { return aborted_ || closed_ || !items_.empty(); });
    std::optional<T> item = take();
    lock.unlock();
    wake_loop();
    return item;
  }

  boost::asio::awaitable<void> async_push(T item, std::size_t weight) {
    for (;;) {
      if (try_put(item, weight)) co_return;
      co_await async_changed();
    }
  }

  boost::asio::awaitable<std::optional<T>> async_pop() {
    for (;;) {
      {
        const std::lock_guard lock(mutex_);
        if (aborted_ || closed_ || !items_.empty()) {
          std::optional<T> item = take();
          room_.notify_all();
          co_return item;
        }
      }
      co_await async_changed();
    }
  }

  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      filled_.notify_all();
    }
    wake_loop();
  }

  void abort() {
    {
      const std::lock_guard lock(mutex_);
      aborted_ = true;
      items_.clear();
      filled_.notify_all();
      room_.notify_all();
    }
    wake_loop();
  }

 private:
  struct Weighted {
    T item;
    std::size_t weight;
  };

  bool has_room() const { return weight_ == 0 || weight_ < capacity_; }

  void put(T&& item, std::size_t weight) {
    weight_ += weight;
    items_.push_back(Weighted{std::move(item), weight});
    filled_.notify_one();
  }

  bool try_put(T& item, std::size_t weight) {
    const std::lock_guard lock(mutex_);
    if (aborted_) throw Error(Errc::disconnected, "queue");
    if (!has_room()) return false;
    put(std::move(item), weight);
    return true;
  }

  std::optional<T> take() {
    if (aborted_) throw Error(Errc::disconnected, "queue");
    if (items_.empty()) return std::nullopt;
    Weighted first = std::move(items_.front());
    items_.pop_front();
    weight_ -= first.weight;
    room_.notify_one();
    return std::move(first.item);
  }

  void wake_loop() {
    boost::asio::post(changed_.get_executor(),
                      [self = this->shared_from_this()] { self->changed_.cancel(); });
  }

  /// Loop only, so no wake-up is lost: between the look under the lock and this
  /// wait, a posted cancel cannot run.
  boost::asio::awaitable<void> async_changed() {
    const auto keep = this->shared_from_this();
    const auto token = boost::asio::as_tuple(boost::asio::use_awaitable);
    const auto result = co_await changed_.async_wait(token);
    const auto state = co_await boost::asio::this_coro::cancellation_state;
    if (state.cancelled() != boost::asio::cancellation_type::none) {
      throw boost::system::system_error(std::get<0>(result));
    }
  }

  const std::size_t capacity_;
  boost::asio::steady_timer changed_;  // loop only; never expires, cancelling it wakes all
  std::mutex mutex_;
  std::condition_variable room_, filled_;
  std::deque<Weighted> items_;
  std::size_t weight_ = 0;
  bool closed_ = false;
  bool aborted_ = false;
};

}  // namespace towline
