#include "proxy/build_exchange.h"

#include "protocol/runtime.h"
#include "proxy/reply_relay.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

namespace towline::proxy {
namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
// As Go's server: so much of a body that nobody wanted is read to keep the connection.
constexpr std::size_t kUnwantedBodyMax = 256 << 10;

class Body final : public BodyReader {
 public:
  Body(RequestWatch& request, ReadAhead& client, Event& changed)
      : request_(request), client_(client), changed_(changed) {
    must_continue_ = request.head().expect_continue && request.head().version == 11;
  }

  asio::awaitable<std::size_t> read(std::span<char> into) override {
    if (std::exchange(must_continue_, false)) co_await client_.stream().write(kContinue);
    while (position_ == decoded_.size() && !request_.done()) {
      const bool more = decode();
      if (!more) co_await changed_.wait();
    }
    const std::size_t count = std::min(into.size(), decoded_.size() - position_);
    std::memcpy(into.data(), decoded_.data() + position_, count);
    position_ += count;
    co_return count;
  }

 private:
  /// Decodes what has come; false if nothing has.
  bool decode() {
    const std::span<const char> bytes = client_.bytes();
    if (bytes.empty() && client_.ended()) {
      throw Error(Errc::disconnected, "the client left in the middle of the build context");
    }
    if (bytes.empty()) return false;
    decoded_.clear();
    position_ = 0;
    const auto used = request_.feed(bytes, &decoded_);
    if (!used) throw Error(used.error(), "chunked body of the build request");
    client_.consume(*used);
    return true;
  }

  RequestWatch& request_;
  ReadAhead& client_;
  Event& changed_;
  std::string decoded_;  // at most what one look at the read-ahead gives
  std::size_t position_ = 0;
  bool must_continue_ = false;
};

class Reply final : public ReplyWriter {
 public:
  Reply(ByteStream& client, const RequestHead& request) : relay_(client, request) {}

  asio::awaitable<void> write(std::span<const char> raw) override {
    while (!raw.empty()) {
      if (!relay_.running()) throw Error(Errc::malformed, "bytes behind the build's reply");
      const std::size_t used = co_await relay_.pass(raw);
      raw = raw.subspan(used);
      if (relay_.state() == ReplyRelay::State::kClientGone) {
        throw Error(Errc::disconnected, "the client left during the build");
      }
      if (relay_.state() == ReplyRelay::State::kMalformed) {
        throw Error(Errc::malformed, "the engine's reply to the build");
      }
    }
  }

  bool done() const noexcept override { return relay_.state() == ReplyRelay::State::kComplete; }

  ReplyRelay& relay() noexcept { return relay_; }

 private:
  ReplyRelay relay_;
};

asio::awaitable<bool> until_gone(ReadAhead& client, Event& changed) {
  while (!client.gone()) co_await changed.wait();
  co_return true;
}

/// Runs the handler until it or the client has ended; what it threw, if anything.
asio::awaitable<std::exception_ptr> handle(asio::awaitable<void> work, ReadAhead& client,
                                           Event& changed) {
  const auto executor = co_await asio::this_coro::executor;
  // Either one's end cancels the other; both have ended before this goes on.
  auto race =
      asio::experimental::make_parallel_group(detail::start(executor, std::move(work)),
                                              detail::start(executor, until_gone(client, changed)));
  auto ended = co_await race.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  co_return std::get<1>(ended);
}

asio::awaitable<void> discard_body(RequestWatch& request, ReadAhead& client, Event& changed) {
  for (std::size_t left = kUnwantedBodyMax; !request.done() && !client.gone();) {
    const std::span<const char> bytes = client.bytes();
    if (bytes.empty()) {
      co_await changed.wait();
      continue;
    }
    const auto used = request.feed(bytes);
    if (!used || *used > left) co_return;
    left -= *used;
    client.consume(*used);
  }
}

}  // namespace

asio::awaitable<BuildEnd> run_build(BuildHandler& handler, RequestWatch& request, ReadAhead& client,
                                    Event& changed) {
  Body body(request, client, changed);
  Reply reply(client.stream(), request.head());
  auto work = handler.build(request.head(), body, reply);
  BuildEnd result;
  result.failure = co_await handle(std::move(work), client, changed);
  if (!result.failure) reply.relay().end(true);
  if (!reply.done()) {
    const bool told = reply.relay().started() || client.gone();
    result.outcome = told ? Outcome::kCut : Outcome::kNoReply;
    co_return result;
  }
  if (reply.relay().keep_alive()) co_await discard_body(request, client, changed);
  const bool stays = reply.relay().keep_alive() && request.done();
  result.outcome = stays ? Outcome::kNextRequest : Outcome::kClose;
  co_return result;
}

}  // namespace towline::proxy
