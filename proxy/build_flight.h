#pragma once

#include "protocol/messages.pb.h"
#include "protocol/thread_queue.h"
#include "protocol/thread_set.h"
#include "syncfs/flight_sender.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include <memory>
#include <optional>
#include <string>
#include <variant>

namespace towline::proxy {

namespace asio = boost::asio;

/// What the sender's thread tells the loop.
struct FlightBytes {
  std::string bytes;
};
struct BodyIsNoTar {};  // send it as it is; nothing else follows
struct FlightSettled {};  // acknowledged and recorded; nothing else follows
struct FlightFailed {
  std::exception_ptr why;
};
using FlightEvent = std::variant<FlightBytes, BodyIsNoTar, FlightSettled, FlightFailed>;

/// A tar body being turned into a flight on a thread of its own. The loop pushes
/// the body and the agent's answers in and takes the flight's bytes out.
/// Destroying it ends the thread soon; what the agent has acknowledged stays recorded.
class BuildFlight {
 public:
  BuildFlight(asio::any_io_executor loop, ThreadSet& threads, const syncfs::SenderContext& context);
  ~BuildFlight();
  BuildFlight(const BuildFlight&) = delete;
  BuildFlight& operator=(const BuildFlight&) = delete;

  asio::awaitable<void> push_body(std::string bytes);
  asio::awaitable<void> end_body();
  asio::awaitable<void> push_answer(wire::BuildDown answer);  // missing, signature, ack

  asio::awaitable<std::optional<FlightEvent>> next_event();

  /// As of the last event. Loop thread.
  syncfs::FlightCounters counters() const;

 private:
  struct Body {
    std::string bytes;
  };
  struct BodyEnd {};
  using Command = std::variant<Body, BodyEnd, wire::BuildDown>;
  class Worker;

  std::shared_ptr<ThreadQueue<Command>> commands_;
  std::shared_ptr<ThreadQueue<FlightEvent>> events_;
  struct Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace towline::proxy
