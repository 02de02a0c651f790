#pragma once

#include "protocol/h2_connection.h"

#include <memory>
#include <string>

namespace towline::remote {

/// Serves one stream of /towline/engine: a connection to the engine's socket, byte
/// for byte, half-closes carried in both directions. The first TunnelOpen.hold
/// bytes reach the engine in one write: dockerd 20.10 takes a body that comes
/// apart from an upgrade's head for the container's input.
///
/// The stream is reset, not ended, when the engine cannot be reached.
asio::awaitable<void> serve_engine_tunnel(std::unique_ptr<H2Stream> stream, std::string socket_path);

}  // namespace towline::remote
