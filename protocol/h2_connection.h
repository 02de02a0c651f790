#pragma once

#include "protocol/byte_stream.h"
#include "protocol/limits.h"
#include "protocol/resumable_stream.h"

#include <functional>
#include <memory>
#include <string>

namespace towline {

/// Interactive streams go before bulk: while one has something to send, bulk gets next to nothing.
enum class Priority { kInteractive, kBulk };

/// One HTTP/2 stream of the link as a byte stream: request DATA one way, response DATA the other.
/// close_write sends END_STREAM; abort sends RST_STREAM(CANCEL). A peer's RST_STREAM
/// is Errc::disconnected for the reader and the writer. Destroying it aborts what is not yet finished.
class H2Stream : public ByteStream {
 public:
  /// The request's :path, which names the service ("/towline/engine").
  virtual const std::string& path() const = 0;
};

/// Layer 3 of the link: many byte streams over one, on nghttp2. The proxy is the
/// client, the agent the server. Flow control: every stream has a receive window of
/// its own (kStreamWindow, kBulkStreamWindow), given back as the reader takes bytes; the
/// connection's window never blocks, so a stream nobody reads cannot stop the others,
/// and memory is bounded by streams times windows.
///
/// Loop thread only. Must outlive its streams' use; after it is done they fail.
class H2Connection {
 public:
  enum class Role { kClient, kServer };
  /// Server: called for every stream the peer opens.
  using Handler = std::function<void(std::unique_ptr<H2Stream>)>;

  /// `below` must outlive the connection.
  static std::unique_ptr<H2Connection> make(ResumableStream& below, Role role,
                                            asio::any_io_executor loop, Handler handler = {});
  virtual ~H2Connection() = default;

  /// Drives the connection until `below` ends or fails, the peer breaks the protocol or close() is called.
  /// Throws why. All streams have failed when it returns.
  virtual asio::awaitable<void> run() = 0;

  /// Client: opens a stream; costs no round trip. HEADERS go out with the first DATA where that follows at once.
  virtual std::unique_ptr<H2Stream> open(const std::string& path, Priority priority) = 0;

  /// Ends the connection with GOAWAY; run() returns.
  virtual void close() = 0;

  virtual std::size_t streams() const = 0;
};

}  // namespace towline
