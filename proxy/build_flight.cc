#include "proxy/build_flight.h"

#include "protocol/error.h"
#include "syncfs/tar_flight.h"

#include <mutex>

namespace towline::proxy {
namespace {

/// Body bytes read but not yet split.
constexpr std::size_t kBodyQueued = 4 << 20;
/// Flight bytes made but not yet sent: little, so that levels and order follow the link.
constexpr std::size_t kFlightQueued = 512 << 10;

}  // namespace

struct BuildFlight::Shared {
  std::mutex mutex;
  syncfs::FlightCounters counters;
};

/// The thread's side.
class BuildFlight::Worker final : private syncfs::ByteSink {
 public:
  Worker(std::shared_ptr<ThreadQueue<Command>> commands,
         std::shared_ptr<ThreadQueue<FlightEvent>> events, std::shared_ptr<Shared> shared,
         const syncfs::SenderContext& context)
      : commands_(std::move(commands)),
        events_(std::move(events)),
        shared_(std::move(shared)),
        sender_(context, *this),
        tar_(context.store, sender_) {}

  void run() {
    try {
      while (!is_over_) {
        std::optional<Command> command = commands_->pop();
        if (!command) return;
        obey(std::move(*command));
        publish_counters();
      }
    } catch (const Error& failure) {
      if (failure.code() == Errc::disconnected) return;  // aborted: nobody listens
      // A compressed body that breaks before its first block is for the engine to judge.
      if (failure.code() == Errc::malformed && !tar_.is_tar()) {
        events_->push(BodyIsNoTar{}, 0);
        return;
      }
      events_->push(FlightFailed{std::current_exception()}, 0);
    } catch (const std::exception&) {
      events_->push(FlightFailed{std::current_exception()}, 0);
    }
  }

 private:
  void obey(Command command) {
    if (auto* body = std::get_if<Body>(&command)) {
      tar_.feed(std::as_bytes(std::span(body->bytes)));
    } else if (std::holds_alternative<BodyEnd>(command)) {
      tar_.finish();
    } else {
      answer(std::get<wire::BuildDown>(command));
    }
    if (tar_.is_tar() == false) {
      is_over_ = true;
      events_->push(BodyIsNoTar{}, 0);
    }
  }

  void answer(const wire::BuildDown& answer) {
    if (answer.has_missing()) sender_.missing(answer.missing());
    if (answer.has_signature()) sender_.signature(answer.signature());
    if (!answer.has_ack()) return;
    sender_.acknowledged(answer.ack());
    if (!answer.ack().snapshot().empty()) events_->push(FlightSettled{}, 0);
  }

  void write(syncfs::Bytes bytes) override {
    std::string copy(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (!copy.empty()) events_->push(FlightBytes{std::move(copy)}, bytes.size());
  }

  void publish_counters() {
    const std::lock_guard lock(shared_->mutex);
    shared_->counters = sender_.counters();
  }

  std::shared_ptr<ThreadQueue<Command>> commands_;
  std::shared_ptr<ThreadQueue<FlightEvent>> events_;
  std::shared_ptr<Shared> shared_;
  syncfs::FlightSender sender_;
  syncfs::TarFlight tar_;
  bool is_over_ = false;
};

BuildFlight::BuildFlight(asio::any_io_executor loop, ThreadSet& threads,
                         const syncfs::SenderContext& context)
    : commands_(std::make_shared<ThreadQueue<Command>>(loop, kBodyQueued)),
      events_(std::make_shared<ThreadQueue<FlightEvent>>(loop, kFlightQueued)),
      shared_(std::make_shared<Shared>()) {
  threads.start("flight", [commands = commands_, events = events_, shared = shared_, context] {
    Worker(commands, events, shared, context).run();
  });
}

BuildFlight::~BuildFlight() {
  commands_->abort();
  events_->abort();
}

asio::awaitable<void> BuildFlight::push_body(std::string bytes) {
  const std::size_t weight = bytes.size();
  Command command = Body{std::move(bytes)};
  co_await commands_->async_push(std::move(command), weight);
}

asio::awaitable<void> BuildFlight::end_body() {
  Command command = BodyEnd{};
  co_await commands_->async_push(std::move(command), 0);
}

asio::awaitable<void> BuildFlight::push_answer(wire::BuildDown answer) {
  const std::size_t weight = answer.ByteSizeLong();
  Command command = std::move(answer);
  co_await commands_->async_push(std::move(command), weight);
}

asio::awaitable<std::optional<FlightEvent>> BuildFlight::next_event() {
  co_return co_await events_->async_pop();
}

syncfs::FlightCounters BuildFlight::counters() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->counters;
}

}  // namespace towline::proxy
