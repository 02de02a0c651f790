#pragma once

#include "protocol/byte_stream.h"
#include "protocol/http_watch.h"

#include <cstddef>
#include <span>

namespace towline::proxy {

/// Writes all bytes; false if the stream has failed. For peers whose end is no surprise.
asio::awaitable<bool> try_write(ByteStream& to, std::span<const char> bytes);

/// Passes the engine's replies to one request on to the client: interim ones, then the final
/// one. A head goes out when it is complete, so that an engine that dies in the middle of it
/// can still be told of; everything else goes out as it comes.
class ReplyRelay {
 public:
  enum class State {
    kRunning,
    kComplete,    // the final reply has passed
    kTunnel,      // its head has passed, and the connection is a byte stream from here on
    kClientGone,  // the client takes no more bytes
    kMalformed,   // the engine sent something that is not HTTP
    kNoReply,     // the engine ended before the final reply's head
    kCut,         // the engine ended in the middle of the final reply
  };

  /// Both outlive the relay.
  ReplyRelay(ByteStream& client, const RequestHead& request);

  /// Passes on a prefix of `bytes`, which are not empty, while running; returns its length.
  asio::awaitable<std::size_t> pass(std::span<const char> bytes);
  /// The engine's bytes have ended; `properly`: with an end of stream, not with a failure.
  void end(bool properly);

  State state() const noexcept { return state_; }
  bool running() const noexcept { return state_ == State::kRunning; }
  /// The client has the final reply's head, or is getting it.
  bool started() const noexcept { return started_; }
  /// After kComplete: the connection may serve another request.
  bool keep_alive() const noexcept { return watch_.head().keep_alive; }

 private:
  asio::awaitable<void> pass_head(std::span<const char> bytes, std::size_t& used);
  void after_bytes();

  ByteStream& client_;
  const RequestHead& request_;
  ReplyWatch watch_;
  State state_ = State::kRunning;
  bool started_ = false;
};

}  // namespace towline::proxy
