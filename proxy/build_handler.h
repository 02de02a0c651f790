#pragma once

#include "protocol/http_watch.h"

#include <boost/asio/awaitable.hpp>

#include <cstddef>
#include <span>

namespace towline::proxy {

namespace asio = boost::asio;

/// The body of a request, decoded: no chunk lines. Lives as long as the handler runs.
class BodyReader {
 public:
  virtual ~BodyReader() = default;

  /// Waits for at least one byte; 0 at the end of the body, and from then on. The first call
  /// answers `Expect: 100-continue`. Throws disconnected if the client left in the middle,
  /// malformed if the chunking is broken.
  virtual asio::awaitable<std::size_t> read(std::span<char> into) = 0;
};

/// Where the engine's reply goes.
class ReplyWriter {
 public:
  virtual ~ReplyWriter() = default;

  /// Passes on raw bytes of the engine's reply (interim replies, then the final one), split
  /// anywhere. They reach the client at once, but a head only when it is complete. Throws
  /// disconnected if the client left, malformed if they are not HTTP or go beyond the reply.
  virtual asio::awaitable<void> write(std::span<const char> raw) = 0;

  /// The final reply is complete.
  virtual bool done() const noexcept = 0;
};

/// Takes over `POST /build` requests whose body is the build context.
class BuildHandler {
 public:
  virtual ~BuildHandler() = default;

  /// Returns when the whole reply has been written (a reply that ends with the connection:
  /// when it has ended). What it throws before a reply becomes the client's error; later, the
  /// client's connection is cut. It need not read the body to the end. Cancelled (terminal)
  /// when the client leaves. The arguments live until it has ended.
  virtual asio::awaitable<void> build(const RequestHead& head, BodyReader& body,
                                      ReplyWriter& reply) = 0;
};

}  // namespace towline::proxy
