#pragma once

#include "protocol/event.h"
#include "protocol/messages.pb.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <string>

namespace towline::remote {

namespace asio = boost::asio;

/// Keeps what is known of the engine true: asks it once, then stays on its stream of daemon
/// events, whose end means that it went away and whose events that it has
/// changed. Loop thread only.
class EngineWatch {
 public:
  EngineWatch(asio::any_io_executor loop, std::string socket_path)
      : changed_(loop), socket_path_(std::move(socket_path)) {}

  /// Until cancelled.
  asio::awaitable<void> run();

  /// generation 0: not asked yet.
  const wire::EngineInfo& info() const { return info_; }

  /// Returns once info().generation is greater than `seen`.
  asio::awaitable<void> wait_newer(std::uint64_t seen);

 private:
  asio::awaitable<void> refresh();
  asio::awaitable<void> follow_events();
  void publish(wire::EngineInfo next);

  Event changed_;
  std::string socket_path_;
  wire::EngineInfo info_;
};

}  // namespace towline::remote
