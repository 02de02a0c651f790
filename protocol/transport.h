#pragma once

#include "protocol/address.h"
#include "protocol/byte_stream.h"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace towline {

/// PEM files of one side. Both sides always authenticate.
struct TlsFiles {
  std::string ca;
  std::string certificate;
  std::string key;
};

/// What the kernel knows of a transport's path; zeros where it knows nothing (Unix sockets).
struct PathInfo {
  double rtt_ms = 0;
  double delivery_bytes_per_second = 0;
};

/// Layer 1 of the link: a connected, authenticated, ordered byte stream.
class Transport : public ByteStream {
 public:
  /// Who is at the other end: `tls:` and the SHA-256 of its public key, or `uid:` and a number.
  virtual std::string peer() const = 0;
  virtual PathInfo path_info() const = 0;
};

/// Connects and authenticates; throws Error whose text is WHAT: WHY (REMEDY).
/// ssh:// throws Errc::unsupported: it comes with `towline up ssh://`.
asio::awaitable<std::unique_ptr<Transport>> dial_transport(Address address, TlsFiles tls);

/// Accepts transports until stopped.
class TransportListener {
 public:
  /// Called on the loop for every peer that has authenticated; runs as a root of its own.
  using Handler = std::function<asio::awaitable<void>(std::unique_ptr<Transport>)>;

  virtual ~TransportListener() = default;
  /// Handshakes run beside each other, each bounded by kHandshakeTimeout, at most a bounded number at once.
  /// Failed ones are logged. Returns when stop() is called.
  virtual asio::awaitable<void> serve(Handler handler) = 0;
  virtual void stop() = 0;
  /// With the port that was bound, when 0 was asked for.
  virtual Address address() const = 0;
};

/// Binds. A stale Unix socket file is replaced, a live one is Errc::conflict; the socket is 0600.
std::unique_ptr<TransportListener> listen_transport(asio::io_context& loop, const Address& address,
                                                    const TlsFiles& tls);

}  // namespace towline
