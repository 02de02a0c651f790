#include "protocol/unix_stream.h"

#include "protocol/error.h"

#include <boost/asio/error.hpp>
#include <boost/asio/write.hpp>

namespace towline {

asio::awaitable<std::size_t> UnixStream::read_some(std::span<char> into) {
  const auto buffer = asio::buffer(into.data(), into.size());
  const auto [ec, n] = co_await socket_.async_read_some(buffer, kAsTuple);
  if (ec == asio::error::eof) co_return 0;
  if (ec) throw Error(ec, "read from Unix socket");
  co_return n;
}

asio::awaitable<void> UnixStream::write(std::span<const char> bytes) {
  co_await asio::async_write(socket_, asio::buffer(bytes.data(), bytes.size()));
}

void UnixStream::close_write() {
  boost::system::error_code ignored;  // the peer may already be gone
  (void)socket_.shutdown(asio::socket_base::shutdown_send, ignored);
}

void UnixStream::abort() noexcept {
  boost::system::error_code ignored;  // closing cannot fail in a way anybody can mend
  (void)socket_.close(ignored);
}

}  // namespace towline
