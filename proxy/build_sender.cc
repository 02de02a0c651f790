#include "proxy/build_sender.h"

#include "protocol/error.h"
#include "protocol/event.h"
#include "protocol/log.h"
#include "protocol/message_stream.h"
#include "proxy/build_flight.h"
#include "proxy/docker_route.h"

#include <boost/algorithm/string/predicate.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <openssl/rand.h>

#include <array>
#include <memory>

namespace towline::proxy {
namespace {

using namespace asio::experimental::awaitable_operators;

constexpr std::size_t kBodyPiece = 256 << 10;
/// Kept of a body until it is known to be a tar. A compressed one shows its first block early.
constexpr std::size_t kUndecidedMax = 1 << 20;
/// How long an ended build may wait for the agent's disk before its acknowledgement is given up.
constexpr std::chrono::seconds kSettleWait{60};

std::array<unsigned char, 16> random_id() {
  std::array<unsigned char, 16> id;
  if (RAND_bytes(id.data(), id.size()) != 1) throw Error(Errc::conflict, "make a build id");
  return id;
}

std::string hex(std::span<const unsigned char> bytes) {
  std::string text;
  for (const unsigned char b : bytes) text += fmt::format("{:02x}", b);
  return text;
}

std::string context_name(const RequestHead& head) {
  const DockerTarget target = split_target(head.target);
  const std::string tag = query_value(target.query, "t");
  const std::string dockerfile = query_value(target.query, "dockerfile");
  return !tag.empty() ? tag : dockerfile.empty() ? "Dockerfile" : dockerfile;
}

/// One build, from request to acknowledgement. Shared by the client's coroutine and, where the client
/// is served before the agent's disk is, by what waits for the rest.
class Build : public std::enable_shared_from_this<Build> {
 public:
  Build(BuildServices& services, const RequestHead& head)
      : services_(services),
        changed_(services.runtime.loop.get_executor()),
        id_(random_id()),
        head_(engine_head(head)),
        status_(services.log.begin({.id = hex(id_),
                                    .kind = "legacy",
                                    .context = context_name(head),
                                    .state = "syncing",
                                    .counters = {},
                                    .received_bytes = 0,
                                    .began = std::chrono::steady_clock::now(),
                                    .sync_seconds = 0})) {}

  ~Build() {
    if (flight_) status_.counters = flight_->counters();
    if (status_.state != "done" && status_.state != "failed") status_.state = "cancelled";
    log::info("build {} ({}): {}: {} files, {} bytes, {} sent, {} deltas, {} whole", status_.id,
              status_.context, status_.state, status_.counters.files,
              status_.counters.content_bytes, status_.counters.wire_bytes,
              status_.counters.blobs_delta, status_.counters.blobs_whole);
  }

  asio::awaitable<void> open() {
    stream_ = co_await services_.link.open("build", Priority::kBulk);
    const syncfs::SenderContext context{
        .store = services_.store,
        .record = services_.record,
        .snapshots = services_.snapshots,
        .signatures = services_.signatures,
        .agent = services_.link.agent_store(),
        .level = flight_level(services_.link.path_info().delivery_bytes_per_second)};
    flight_ = std::make_unique<BuildFlight>(services_.runtime.loop.get_executor(),
                                            services_.threads, context);
    wire::BuildUp start;
    start.mutable_start()->set_request_head(head_);
    start.mutable_start()->set_build_id(id_.data(), id_.size());
    co_await send(std::move(start));
  }

  /// Serves the client until the engine's reply is complete.
  asio::awaitable<void> run(BodyReader& body, ReplyWriter& reply) {
    try {
      co_await run_beside(take_answers(&reply), run_upload(body));
    } catch (const boost::system::system_error&) {
      if (!reply.done()) status_.state = "failed";
      throw;
    }
    status_.state = "done";
  }

  /// Whether an acknowledgement is still to come: all was sent, and nothing was cut off.
  bool is_settling() const { return body_done_ && !is_raw_ && !is_settled_ && !is_sending_; }

  /// After run(): waits for the acknowledgement alone.
  asio::awaitable<void> settle() {
    co_await run_beside(take_answers(nullptr), send_flight());
  }

 private:
  asio::awaitable<void> run_upload(BodyReader& body) {
    co_await (read_body(body) && send_flight());
  }

  asio::awaitable<void> read_body(BodyReader& body) {
    std::string buffer(kBodyPiece, '\0');
    for (;;) {
      const std::size_t n = co_await body.read(buffer);
      if (n == 0) break;
      std::string piece = buffer.substr(0, n);
      if (is_undecided_) undecided_ += piece;
      if (undecided_.size() > kUndecidedMax) is_undecided_ = false;
      while (is_raw_ && !raw_caught_up_) co_await changed_.wait();
      if (is_raw_) {
        co_await send_raw(std::move(piece));
      } else {
        co_await flight_->push_body(std::move(piece));
      }
    }
    body_done_ = true;
    if (!is_raw_) co_await flight_->end_body();
    if (raw_caught_up_) co_await end_raw();
  }

  asio::awaitable<void> send_flight() {
    while (!is_settled_ && !is_raw_) {
      std::optional<FlightEvent> event = co_await flight_->next_event();
      if (!event) co_return;
      if (auto* bytes = std::get_if<FlightBytes>(&*event)) {
        wire::BuildUp up;
        up.set_flight(std::move(bytes->bytes));
        status_.counters = flight_->counters();
        co_await send(std::move(up));
      } else if (std::holds_alternative<BodyIsNoTar>(*event)) {
        co_await turn_raw();
      } else if (std::holds_alternative<FlightSettled>(*event)) {
        is_settled_ = true;
        changed_.notify();
      } else {
        std::rethrow_exception(std::get<FlightFailed>(*event).why);
      }
    }
  }

  asio::awaitable<void> end_raw() {
    if (is_raw_done_) co_return;
    is_raw_done_ = true;
    wire::BuildUp up;
    up.mutable_done();
    co_await send(std::move(up));
  }

  /// The body is no tar: what has come of it goes as it is, and the rest after it.
  asio::awaitable<void> turn_raw() {
    if (!is_undecided_) {
      throw Error(Errc::malformed, "read the build's body: neither a tar nor something else by "
                                   "its first MiB (send a tar)");
    }
    is_raw_ = true;
    std::string first = std::move(undecided_);
    undecided_.clear();
    is_undecided_ = false;
    co_await send_raw(std::move(first));
    raw_caught_up_ = true;
    changed_.notify();
    if (body_done_) co_await end_raw();
  }

  asio::awaitable<void> send_raw(std::string piece) {
    wire::BuildUp up;
    up.set_raw(std::move(piece));
    co_await send(std::move(up));
  }

  /// Until the reply is complete, or, without a client, until all is settled.
  asio::awaitable<void> take_answers(ReplyWriter* reply) {
    if (!reader_) reader_ = std::make_unique<MessageReader>(*stream_);
    wire::BuildDown down;
    while (reply ? !reply->done() : !is_settled_) {
      const bool has_more = co_await reader_->read(down);
      if (!has_more) throw Error(Errc::disconnected, "build: the agent ended it");
      status_.received_bytes += down.ByteSizeLong();
      if (down.has_reply()) {
        if (reply) co_await reply->write(down.reply());
        if (status_.state == "syncing") note_synced();
      } else if (down.has_error()) {
        throw Error(error_of(down.error()), down.error().message());
      } else {
        if (down.has_ack() && !down.ack().snapshot().empty()) note_synced();
        co_await flight_->push_answer(std::move(down));
      }
    }
  }

  static boost::system::error_code error_of(const wire::WireError& error) {
    if (error.posix() != 0) return {error.posix(), boost::system::generic_category()};
    return make_error_code(static_cast<Errc>(error.code()));
  }

  void note_synced() {
    if (status_.sync_seconds > 0) return;
    const auto spent = std::chrono::steady_clock::now() - status_.began;
    status_.sync_seconds = std::chrono::duration<double>(spent).count();
    status_.state = "building";
  }

  /// One writer at a time: the body's reader and the flight's sender take turns.
  asio::awaitable<void> send(wire::BuildUp up) {
    while (is_sending_) co_await changed_.wait();
    is_sending_ = true;
    co_await write_message(*stream_, up);
    is_sending_ = false;
    changed_.notify();
  }

  BuildServices& services_;
  Event changed_;
  const std::array<unsigned char, 16> id_;
  const std::string head_;
  BuildStatus& status_;
  std::unique_ptr<H2Stream> stream_;
  std::unique_ptr<MessageReader> reader_;
  std::unique_ptr<BuildFlight> flight_;
  std::string undecided_;
  bool is_undecided_ = true;
  bool is_raw_ = false;
  bool raw_caught_up_ = false;
  bool body_done_ = false;
  bool is_raw_done_ = false;
  bool is_settled_ = false;
  bool is_sending_ = false;
};

asio::awaitable<void> settle_later(std::shared_ptr<Build> build) {
  co_await with_timeout(kSettleWait, build->settle());
}

}  // namespace

int flight_level(double bytes_per_second) {
  struct Row {
    double mbit_max;
    int level;
  };
  // Highest level whose one-thread speed still outruns the link (measured on source trees).
  static constexpr Row kRows[] = {{2, 12}, {20, 9}, {60, 7}, {150, 5}, {400, 3}};
  if (bytes_per_second <= 0) return 3;
  for (const Row& row : kRows) {
    if (bytes_per_second * 8 / 1e6 <= row.mbit_max) return row.level;
  }
  return 1;
}

std::string engine_head(const RequestHead& head) {
  static constexpr std::string_view kDropped[] = {"transfer-encoding", "content-length", "expect",
                                                  "connection", "te", "trailer"};
  std::string kept;
  std::string_view rest = head.raw;
  for (bool is_first = true; !rest.empty(); is_first = false) {
    const std::size_t end = rest.find("\r\n");
    const std::string_view line = rest.substr(0, end == rest.npos ? rest.size() : end + 2);
    rest.remove_prefix(line.size());
    const std::string_view name = line.substr(0, line.find(':'));
    const bool is_dropped =
        !is_first && std::any_of(std::begin(kDropped), std::end(kDropped), [&](std::string_view field) {
          return boost::algorithm::iequals(name, field);
        });
    if (!is_dropped) kept += line;
  }
  return kept;
}

asio::awaitable<void> BuildSender::build(const RequestHead& head, BodyReader& body,
                                         ReplyWriter& reply) {
  const auto build = std::make_shared<Build>(services_, head);
  co_await build->open();
  co_await build->run(body, reply);
  // The client has its answer; that the agent has the context on its disk is noted behind its back.
  if (build->is_settling()) {
    spawn(services_.runtime.loop.get_executor(), "settle build", settle_later(build));
  }
}

}  // namespace towline::proxy
