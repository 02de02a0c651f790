#pragma once

#include "protocol/byte_stream.h"

#include <cstddef>
#include <memory>

namespace towline::proxy {

class BuildHandler;
class LocalAnswers;

/// The way to the engine. One tunnel is one connection to dockerd.
class Engine {
 public:
  virtual ~Engine() = default;

  /// Opens a tunnel. The first `hold_bytes` written to it reach dockerd in one write. Throws
  /// if the engine cannot be reached, saying why. The stream outlives the awaitable.
  virtual asio::awaitable<std::unique_ptr<ByteStream>> open_tunnel(std::size_t hold_bytes) = 0;
};

/// What a client connection is served with. Everything outlives the connection.
struct RelayServices {
  Engine& engine;
  LocalAnswers* answers = nullptr;  // null: the engine answers everything
  BuildHandler* builds = nullptr;   // null: builds are forwarded
};

/// Serves one connection of a docker client until it ends (docs/proxy.md). Messages pass byte
/// for byte and as soon as they come; requests go in order, on one tunnel opened when first
/// needed; half-closes, disconnects and back-pressure pass both ways. No time limits.
///
/// Loop thread only. To end it from outside, abort the stream. Memory: 64 KiB a direction,
/// a head, and the body of an upgrade request up to 1 MiB. Failures of this client or its
/// tunnel end here: they are answered or close the connection.
asio::awaitable<void> relay_connection(std::shared_ptr<ByteStream> client, RelayServices services);

}  // namespace towline::proxy
