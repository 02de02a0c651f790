#pragma once

#include "protocol/messages.pb.h"
#include "protocol/thread_queue.h"
#include "remote/build_session.h"
#include "syncfs/snapshot.h"

#include <memory>
#include <string>
#include <variant>

namespace towline::remote {

/// What the receiver's thread tells the loop.
struct BaseReady {
  std::shared_ptr<const syncfs::Snapshot> base;
};
struct SameUpTo {
  std::uint64_t members;
};
struct SnapshotReady {
  std::shared_ptr<const syncfs::Snapshot> snapshot;
};
struct IntakeFailed {
  wire::WireError error;
};
using IntakeEvent = std::variant<BaseReady, SameUpTo, SnapshotReady, wire::Missing,
                                 wire::SignatureReply, wire::Ack, IntakeFailed>;

/// A flight being received on a thread of its own. The loop pushes the flight's
/// bytes in and takes events out; destroying it ends the thread soon.
class FlightIntake {
 public:
  FlightIntake(BuildServices& services, const std::string& identity);
  ~FlightIntake();
  FlightIntake(const FlightIntake&) = delete;
  FlightIntake& operator=(const FlightIntake&) = delete;

  asio::awaitable<void> push(std::string bytes);
  asio::awaitable<std::optional<IntakeEvent>> next_event();

 private:
  std::shared_ptr<ThreadQueue<std::string>> bytes_;
  std::shared_ptr<ThreadQueue<IntakeEvent>> events_;
};

/// The exception in flight as it goes over the wire.
wire::WireError current_wire_error();

}  // namespace towline::remote
