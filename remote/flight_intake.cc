#include "remote/flight_intake.h"

#include "protocol/error.h"
#include "protocol/log.h"

namespace towline::remote {
namespace {

/// Received but not yet decoded. Small: the link's own windows hold the rest.
constexpr std::size_t kBytesQueued = 4 << 20;
/// Events are small but for parts of signatures.
constexpr std::size_t kEventsQueued = 1 << 20;

class Intake final : public syncfs::FlightEvents {
 public:
  Intake(std::shared_ptr<ThreadQueue<std::string>> bytes,
         std::shared_ptr<ThreadQueue<IntakeEvent>> events, const syncfs::ReceiverContext& context)
      : bytes_(std::move(bytes)), events_(std::move(events)), receiver_(context, *this) {}

  void run() {
    try {
      while (const auto piece = bytes_->pop()) receiver_.feed(std::as_bytes(std::span(*piece)));
    } catch (const Error& failure) {
      // An aborted queue: the build is over and nobody listens.
      if (failure.code() == Errc::disconnected) return;
      tell(IntakeFailed{current_wire_error()});
    } catch (const std::exception&) {
      tell(IntakeFailed{current_wire_error()});
    }
  }

  void base(std::shared_ptr<const syncfs::Snapshot> base) override {
    tell(BaseReady{std::move(base)});
  }
  void same(std::uint64_t members) override { tell(SameUpTo{members}); }
  void snapshot(std::shared_ptr<const syncfs::Snapshot> snapshot) override {
    tell(SnapshotReady{std::move(snapshot)});
  }
  void missing(const wire::Missing& what) override { tell(what); }
  void signature(const wire::SignatureReply& part) override { tell(part); }
  void acknowledge(const wire::Ack& ack) override { tell(ack); }

 private:
  void tell(IntakeEvent event) {
    const auto* part = std::get_if<wire::SignatureReply>(&event);
    const std::size_t weight = 64 + (part ? part->part().size() : 0);
    events_->push(std::move(event), weight);
  }

  std::shared_ptr<ThreadQueue<std::string>> bytes_;
  std::shared_ptr<ThreadQueue<IntakeEvent>> events_;
  syncfs::FlightReceiver receiver_;
};

}  // namespace

FlightIntake::FlightIntake(BuildServices& services, const std::string& identity)
    : bytes_(std::make_shared<ThreadQueue<std::string>>(services.runtime.loop.get_executor(),
                                                        kBytesQueued)),
      events_(std::make_shared<ThreadQueue<IntakeEvent>>(services.runtime.loop.get_executor(),
                                                         kEventsQueued)) {
  const syncfs::ReceiverContext context{.store = services.store,
                                        .access = services.access,
                                        .snapshots = services.snapshots,
                                        .whole = services.whole,
                                        .identity = identity};
  services.threads.start("flight", [bytes = bytes_, events = events_, context] {
    Intake(bytes, events, context).run();
  });
}

FlightIntake::~FlightIntake() {
  bytes_->abort();
  events_->abort();
}

asio::awaitable<void> FlightIntake::push(std::string bytes) {
  const std::size_t weight = bytes.size();
  co_await bytes_->async_push(std::move(bytes), weight);
}

asio::awaitable<std::optional<IntakeEvent>> FlightIntake::next_event() {
  co_return co_await events_->async_pop();
}

wire::WireError current_wire_error() {
  wire::WireError error;
  try {
    throw;
  } catch (const boost::system::system_error& failure) {
    const bool is_ours = failure.code().category() == make_error_code(Errc::malformed).category();
    if (is_ours) {
      error.set_code(static_cast<std::uint32_t>(failure.code().value()));
    } else {
      error.set_posix(failure.code().value());
    }
    error.set_message(failure.what());
  } catch (const std::exception& failure) {
    error.set_message(failure.what());
  }
  return error;
}

}  // namespace towline::remote
