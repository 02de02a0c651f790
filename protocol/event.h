#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace towline {

/// Wakes the coroutines of the loop that wait for something to change. Keeps no
/// memory of notifications: look at the state first, then wait. Loop thread only.
class Event {
 public:
  explicit Event(boost::asio::any_io_executor loop)
      : timer_(std::move(loop), boost::asio::steady_timer::time_point::max()) {}

  /// Returns at the next notify(). Throws operation_aborted when its coroutine is cancelled.
  boost::asio::awaitable<void> wait() {
    const auto token = boost::asio::as_tuple(boost::asio::use_awaitable);
    const auto result = co_await timer_.async_wait(token);
    const auto state = co_await boost::asio::this_coro::cancellation_state;
    if (state.cancelled() != boost::asio::cancellation_type::none) {
      throw boost::system::system_error(std::get<0>(result));
    }
  }

  void notify() { timer_.cancel(); }

 private:
  boost::asio::steady_timer timer_;  // never expires: cancelling it wakes all who wait
};

}  // namespace towline
