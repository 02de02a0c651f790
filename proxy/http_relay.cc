#include "proxy/http_relay.h"

#include "protocol/limits.h"
#include "protocol/log.h"
#include "protocol/runtime.h"
#include "proxy/build_exchange.h"
#include "proxy/docker_error.h"
#include "proxy/docker_route.h"
#include "proxy/http_exchange.h"
#include "proxy/local_answers.h"
#include "proxy/read_ahead.h"
#include "proxy/reply_relay.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace towline::proxy {
namespace {

// HTTP/2 with prior knowledge, which engines since 29.2 speak on the same socket.
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0";
// Head and body of an upgrade request go to dockerd in one write, up to this body size.
constexpr std::size_t kUpgradeBodyMax = 1 << 20;
// Some clients never send the last chunk of an upgrade request's body: after this long what
// has come goes on its way.
constexpr std::chrono::milliseconds kUpgradeBodyPatience{100};
// A client that is still sending gets this long to read the reply that made us close. As Go.
constexpr std::chrono::milliseconds kLingerTime{500};

constexpr unsigned kBadRequest = 400;
constexpr unsigned kHeadTooLarge = 431;
constexpr unsigned kBadGateway = 502;
constexpr unsigned kUnavailable = 503;

struct Failure {
  unsigned status;
  std::string message;
};

/// Boundary: an exception as the client is told of it.
Failure describe(std::string_view what, std::string_view remedy, const std::exception_ptr& e) {
  try {
    std::rethrow_exception(e);
  } catch (const boost::system::system_error& error) {
    const bool down = error.code() == Errc::disconnected || error.code() == Errc::timed_out;
    const unsigned status = down ? kUnavailable : current_http_status();
    return {status, fmt::format("towline: {}: {} ({})", what, plain_text(error), remedy)};
  } catch (const std::exception& error) {
    return {current_http_status(),
            fmt::format("towline: {}: {} ({})", what, plain_text(error), remedy)};
  }
}

class Relay {
 public:
  Relay(const asio::any_io_executor& executor, std::shared_ptr<ByteStream> client,
        const RelayServices& services)
      : executor_(executor),
        services_(services),
        changed_(std::make_shared<Event>(executor)),
        client_(ReadAhead::start(executor, std::move(client), changed_)) {}
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay() {
    drop_tunnel();
    client_->abort();
  }

  asio::awaitable<void> run();

 private:
  asio::awaitable<bool> is_http2();
  asio::awaitable<Outcome> serve_http2();
  asio::awaitable<Outcome> serve_request();
  asio::awaitable<bool> read_head(RequestWatch& request, unsigned& refusal);
  asio::awaitable<Outcome> answer(std::string reply);
  asio::awaitable<Outcome> refuse(std::string reply);
  asio::awaitable<Outcome> build(RequestWatch& request);
  asio::awaitable<Outcome> forward(RequestWatch& request, bool upgrade);
  asio::awaitable<Outcome> finish(Exchange& exchange);
  std::optional<std::string> local_answer(const RequestHead& head, DockerRoute route);
  asio::awaitable<std::exception_ptr> open_tunnel(std::size_t hold);
  bool take_body(RequestWatch& request, std::string& message);
  asio::awaitable<void> gather_body(RequestWatch& request, std::string& message);
  asio::awaitable<void> wait_for_client(const RequestWatch& request);
  asio::awaitable<void> linger();
  asio::awaitable<void> discard_client();
  void drop_tunnel() noexcept;

  asio::any_io_executor executor_;
  RelayServices services_;
  std::shared_ptr<Event> changed_;
  std::shared_ptr<ReadAhead> client_;
  std::shared_ptr<ReadAhead> tunnel_;  // null: none open
};

asio::awaitable<void> Relay::run() {
  const bool http2 = co_await is_http2();
  Outcome outcome = Outcome::kNextRequest;
  if (http2) outcome = co_await serve_http2();
  while (outcome == Outcome::kNextRequest) {
    outcome = co_await serve_request();
  }
  drop_tunnel();
  if (outcome == Outcome::kClose) co_await linger();
}

void Relay::drop_tunnel() noexcept {
  if (tunnel_) tunnel_->abort();
  tunnel_.reset();
}

/// Waits for enough bytes to tell.
asio::awaitable<bool> Relay::is_http2() {
  for (;;) {
    const auto bytes = client_->bytes();
    const std::string_view start(bytes.data(), std::min(bytes.size(), kHttp2Preface.size()));
    if (start != kHttp2Preface.substr(0, start.size())) co_return false;
    if (start.size() == kHttp2Preface.size()) co_return true;
    if (client_->ended()) co_return false;
    co_await changed_->wait();
  }
}

asio::awaitable<Outcome> Relay::serve_http2() {
  const std::exception_ptr failure = co_await open_tunnel(0);
  if (failure) co_return Outcome::kCut;  // as an engine that is not there
  co_await join_streams(*client_, *tunnel_, *changed_);
  co_return Outcome::kCut;
}

/// False at the end of the connection, or with the status of a refusal.
asio::awaitable<bool> Relay::read_head(RequestWatch& request, unsigned& refusal) {
  while (!request.head_done()) {
    const auto bytes = client_->bytes();
    if (bytes.empty()) {
      if (client_->ended()) {
        if (request.started()) refusal = kBadRequest;
        co_return false;
      }
      co_await changed_->wait();
      continue;
    }
    // Old clients send a line end too many behind a body.
    if (!request.started() && (bytes.front() == '\r' || bytes.front() == '\n')) {
      client_->consume(1);
      continue;
    }
    const auto used = request.feed(bytes);
    if (!used) {
      refusal = used.error() == Errc::too_large ? kHeadTooLarge : kBadRequest;
      co_return false;
    }
    client_->consume(*used);
  }
  co_return true;
}

asio::awaitable<Outcome> Relay::serve_request() {
  RequestWatch request;
  unsigned refusal = 0;
  const bool have_head = co_await read_head(request, refusal);
  if (refusal != 0) co_return co_await refuse(refusal_reply(refusal));
  if (!have_head) co_return Outcome::kCut;

  const RequestHead& head = request.head();
  const DockerRoute route = classify(head);
  log::debug("request {} {}", head.method, split_target(head.target).path);
  std::optional<std::string> local = local_answer(head, route);
  if (local) co_return co_await answer(std::move(*local));
  const bool build_here = route == DockerRoute::kBuildTar && services_.builds != nullptr;
  if (build_here) co_return co_await build(request);
  co_return co_await forward(request, route == DockerRoute::kUpgrade);
}

std::optional<std::string> Relay::local_answer(const RequestHead& head, DockerRoute route) {
  if (services_.answers == nullptr) return std::nullopt;
  const std::string_view version = split_target(head.target).api_version;
  if (route == DockerRoute::kPing) return services_.answers->ping(head.method == "HEAD", version);
  if (route == DockerRoute::kVersion) return services_.answers->version(version);
  return std::nullopt;
}

asio::awaitable<Outcome> Relay::answer(std::string reply) {
  const bool written = co_await try_write(client_->stream(), reply);
  co_return written ? Outcome::kNextRequest : Outcome::kCut;
}

asio::awaitable<Outcome> Relay::refuse(std::string reply) {
  const bool written = co_await try_write(client_->stream(), reply);
  co_return written ? Outcome::kClose : Outcome::kCut;
}

asio::awaitable<Outcome> Relay::build(RequestWatch& request) {
  const BuildEnd end = co_await run_build(*services_.builds, request, *client_, *changed_);
  if (end.outcome != Outcome::kNoReply) co_return end.outcome;
  auto failure = end.failure;
  if (!failure) failure = std::make_exception_ptr(Error(Errc::disconnected, "no reply came"));
  const Failure told = describe("the build failed", "`towline logs` tells more", failure);
  log::warn("{}", told.message);
  co_return co_await refuse(error_reply(told.status, told.message, false));
}

/// What was thrown, if anything.
asio::awaitable<std::exception_ptr> Relay::open_tunnel(std::size_t hold) {
  try {
    std::unique_ptr<ByteStream> stream = co_await services_.engine.open_tunnel(hold);
    tunnel_ = ReadAhead::start(executor_, std::move(stream), changed_);
  } catch (const std::exception&) {
    co_return std::current_exception();
  }
  co_return nullptr;
}

/// Moves body bytes that have come behind the head in `message`. False if the chunking is
/// broken: those bytes stay, for the exchange to find.
bool Relay::take_body(RequestWatch& request, std::string& message) {
  while (!request.done() && !client_->bytes().empty()) {
    const auto bytes = client_->bytes();
    const auto used = request.feed(bytes);
    if (!used) return false;
    message.append(bytes.data(), *used);
    client_->consume(*used);
  }
  return true;
}

asio::awaitable<void> Relay::wait_for_client(const RequestWatch& request) {
  if (request.head().chunked) {
    co_await with_timeout(kUpgradeBodyPatience, changed_->wait());
  } else {
    co_await changed_->wait();
  }
}

/// The whole body, if it is not too large and does come. Expect: the client waits for the
/// engine's word, so nothing would come.
asio::awaitable<void> Relay::gather_body(RequestWatch& request, std::string& message) {
  const RequestHead& head = request.head();
  if (head.expect_continue || head.content_length.value_or(0) > kUpgradeBodyMax) co_return;
  while (!request.done() && !client_->gone() &&
         message.size() < head.raw.size() + kUpgradeBodyMax) {
    const bool sound = take_body(request, message);
    if (!sound || request.done()) co_return;
    try {
      co_await wait_for_client(request);
    } catch (const Error& e) {
      if (e.code() != Errc::timed_out) throw;
      co_return;
    }
  }
}

asio::awaitable<Outcome> Relay::forward(RequestWatch& request, bool upgrade) {
  std::string message = request.head().raw;
  if (upgrade) {
    drop_tunnel();
    co_await gather_body(request, message);
  } else {
    (void)take_body(request, message);  // what is there goes in the same write
  }
  // Between requests the engine says nothing but goodbye.
  if (tunnel_ && (tunnel_->ended() || !tunnel_->bytes().empty())) drop_tunnel();
  if (!tunnel_) {
    const std::exception_ptr failure = co_await open_tunnel(upgrade ? message.size() : 0);
    if (failure) {
      const Failure told =
          describe("cannot reach the docker engine", "`towline status` shows the link", failure);
      log::warn("{}", told.message);
      co_return co_await refuse(
          error_reply(told.status, told.message, request.head().method == "HEAD"));
    }
  }
  // A dead tunnel shows when the reply is read.
  co_await try_write(tunnel_->stream(), message);
  Exchange exchange{request, *client_, *tunnel_, *changed_};
  co_await run_exchange(exchange);
  co_return co_await finish(exchange);
}

asio::awaitable<Outcome> Relay::finish(Exchange& exchange) {
  if (exchange.outcome == Outcome::kTunnel) {
    co_await join_streams(*client_, *tunnel_, *changed_);
    co_return Outcome::kCut;
  }
  if (exchange.outcome != Outcome::kNoReply) {
    if (exchange.outcome != Outcome::kNextRequest) drop_tunnel();
    co_return exchange.outcome;
  }
  drop_tunnel();
  if (exchange.bad_request) co_return co_await refuse(refusal_reply(kBadRequest));
  if (client_->gone()) co_return Outcome::kCut;
  const std::string message = fmt::format(
      "towline: no answer from the docker engine: {} (try again; `towline status` shows the link)",
      exchange.failure);
  log::warn("{}", message);
  const bool to_head = exchange.request.head().method == "HEAD";
  co_return co_await refuse(error_reply(kBadGateway, message, to_head));
}

asio::awaitable<void> Relay::discard_client() {
  while (!client_->gone()) {
    client_->consume(client_->bytes().size());
    if (!client_->ended()) co_await changed_->wait();
  }
}

/// Closing with unread bytes would take the reply from a client that is still sending.
asio::awaitable<void> Relay::linger() {
  client_->stream().close_write();
  try {
    co_await with_timeout(kLingerTime, discard_client());
  } catch (const Error& e) {
    if (e.code() != Errc::timed_out) throw;
  }
}

}  // namespace

asio::awaitable<void> relay_connection(std::shared_ptr<ByteStream> client, RelayServices services) {
  const auto executor = co_await asio::this_coro::executor;
  Relay relay(executor, std::move(client), services);
  co_await relay.run();
}

}  // namespace towline::proxy
