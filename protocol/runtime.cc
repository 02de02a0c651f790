#include "protocol/runtime.h"

#include "protocol/log.h"

#include <boost/asio/error.hpp>

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

}  // namespace towline
