#pragma once

#include "protocol/byte_stream.h"
#include "protocol/stream.h"

namespace towline {

/// ByteStream over a connected Unix socket.
class UnixStream final : public ByteStream {
 public:
  explicit UnixStream(UnixSocket socket) : socket_(std::move(socket)) {}

  asio::awaitable<std::size_t> read_some(std::span<char> into) override;
  asio::awaitable<void> write(std::span<const char> bytes) override;
  void close_write() override;
  void abort() noexcept override;

  UnixSocket& socket() noexcept { return socket_; }

 private:
  UnixSocket socket_;
};

}  // namespace towline
