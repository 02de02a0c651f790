#include "protocol/runtime.h"

#include "protocol/log.h"

#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>

#include <array>

namespace towline {

void spawn(asio::any_io_executor executor, std::string name, asio::awaitable<void> work) {
  auto report = [name = std::move(name)](std::exception_ptr failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const boost::system::system_error& e) {
      if (e.code() != asio::error::operation_aborted) log::warn("{}: {}", name, e.what());
    } catch (const std::exception& e) {
      log::error("{}: {}", name, e.what());
    }
  };
  asio::co_spawn(executor, std::move(work), std::move(report));
}

namespace {

/// Never ends by itself: the other half of a race decides.
asio::awaitable<void> then_wait_forever(asio::awaitable<void> work) {
  co_await std::move(work);
  asio::steady_timer never(co_await asio::this_coro::executor,
                           asio::steady_timer::time_point::max());
  co_await never.async_wait(asio::use_awaitable);
}

}  // namespace

asio::awaitable<void> run_beside(asio::awaitable<void> main, asio::awaitable<void> beside) {
  const auto executor = co_await asio::this_coro::executor;
  auto race = asio::experimental::make_parallel_group(
      detail::start(executor, std::move(main)),
      detail::start(executor, then_wait_forever(std::move(beside))));
  auto result = co_await race.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  const std::array<std::exception_ptr, 2> failures{std::get<1>(result), std::get<2>(result)};
  const std::exception_ptr& first = failures[std::get<0>(result)[0]];
  if (first) std::rethrow_exception(first);
}

}  // namespace towline
