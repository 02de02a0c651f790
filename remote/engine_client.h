#pragma once

#include "protocol/unix_stream.h"

#include <memory>
#include <string>

namespace towline::remote {

/// Connects to the engine's Unix socket. Throws Error naming the socket and the remedy.
asio::awaitable<std::unique_ptr<UnixStream>> connect_engine(std::string socket_path);

/// An engine's reply, head and body as they came.
struct EngineReply {
  unsigned status = 0;
  std::string head;  // status line and header fields, with the empty line
  std::string body;  // decoded
};

/// One GET on a connection of its own. Replies over kEngineReplyMax are Errc::too_large.
asio::awaitable<EngineReply> engine_get(std::string socket_path, std::string target);

inline constexpr std::size_t kEngineReplyMax = 4 << 20;

}  // namespace towline::remote
