#pragma once

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <span>

namespace towline {

namespace asio = boost::asio;

/// A connected, ordered, two-way byte pipe: a Unix socket, a TLS session or one
/// stream of the multiplexed link. Everything above the transports uses this
/// type, so no protocol code is templated on a socket.
///
/// Loop thread only. At most one read and one write may be pending at a time.
/// Failures throw; end of stream is an answer, not a failure.
class ByteStream {
 public:
  virtual ~ByteStream() = default;

  /// Waits for at least one byte. Returns 0 only at end of stream.
  virtual asio::awaitable<std::size_t> read_some(std::span<char> into) = 0;

  /// Returns when every byte has been handed to the transport.
  virtual asio::awaitable<void> write(std::span<const char> bytes) = 0;

  /// Ends our direction; the peer sees end of stream and may still send.
  virtual void close_write() = 0;

  /// Ends both directions at once; what is pending fails with Errc::disconnected
  /// or operation_aborted, and so does every later call. May be called twice.
  virtual void abort() noexcept = 0;
};

}  // namespace towline
