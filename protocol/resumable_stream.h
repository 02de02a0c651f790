#pragma once

#include "protocol/byte_stream.h"
#include "protocol/limits.h"
#include "protocol/transport.h"

#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace towline {

enum class LinkState { kConnecting, kUp, kDown };

struct LinkCounters {
  std::uint64_t sent_bytes = 0;      // payload handed to transports, replays included
  std::uint64_t received_bytes = 0;
  std::uint64_t replayed_bytes = 0;  // of sent_bytes, what went again after a resume
  std::uint64_t resumes = 0;
};

/// Layer 2 of the link (docs/wire.md): one logical byte stream over transports that die
/// and are replaced. Numbers the bytes, keeps what is unacknowledged (at most
/// kReplayBufferMax; write waits when full). read_some and write go on across a
/// resume as if nothing had happened; they fail with Errc::disconnected once the
/// stream is given up: grace time over, closed by the peer, or unknown to it.
///
/// Loop thread only.
class ResumableStream : public ByteStream {
 public:
  virtual LinkState state() const = 0;
  virtual LinkCounters counters() const = 0;
  virtual PathInfo path_info() const = 0;
  virtual std::string peer() const = 0;
  /// Bytes written but not yet handed to a transport. For pacing in the layer above.
  virtual std::size_t unsent() const = 0;
  /// Called on the loop at every change of state, with a reason for people.
  virtual void on_state(std::function<void(LinkState, const std::string& why)> callback) = 0;
  /// Drops the transport, not the stream; for tests of resuming.
  virtual void drop_transport() = 0;
};

/// The dialling end. Makes a fresh stream (128-bit id and secret), dials with `dial`, keeps it alive:
/// when a transport dies it dials again with back-off and jitter until `grace` is over. Returns
/// when the first handshake is done; throws what the first dial threw.
struct ResumableClientOptions {
  std::function<asio::awaitable<std::unique_ptr<Transport>>()> dial;
  std::chrono::milliseconds grace = kGraceDefault;
};
asio::awaitable<std::unique_ptr<ResumableStream>> connect_resumable(ResumableClientOptions options);

/// The accepting end: gives each accepted transport to a new stream or to the one it resumes. A stream may be
/// resumed only by the peer identity that made it and with its secret.
class ResumableServer {
 public:
  using Handler = std::function<asio::awaitable<void>(std::unique_ptr<ResumableStream>)>;
  ResumableServer(asio::io_context& loop, std::chrono::milliseconds grace, Handler handler);
  ~ResumableServer();
  /// Shakes hands on `transport`, then returns; the stream lives on in the handler.
  asio::awaitable<void> accept(std::unique_ptr<Transport> transport);
  std::size_t streams() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace towline
