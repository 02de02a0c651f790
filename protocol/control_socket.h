#pragma once

#include "protocol/byte_stream.h"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>

namespace towline {

/// The Unix socket by which a daemon's own commands reach it: `towline status`,
/// `towline down`, `towline-agent stats`. One line is the request, all bytes until
/// the end of the stream are the answer. 0600: whoever may open it may command.
class ControlSocket {
 public:
  /// Answers one request; runs on the loop. What it throws becomes "error: TEXT\n".
  using Handler = std::function<asio::awaitable<std::string>(std::string request)>;

  /// Binds `path`, replacing a stale socket. Throws Error.
  ControlSocket(asio::io_context& loop, std::string path, Handler handler);
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// For commands: asks the daemon at `path` and waits for the whole answer. Blocks.
/// Throws Error; Errc::not_found when no daemon listens there.
std::string ask_control_socket(const std::string& path, const std::string& request);

}  // namespace towline
