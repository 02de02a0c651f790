#include "proxy/reply_relay.h"

#include "proxy/docker_route.h"

#include <exception>

namespace towline::proxy {
namespace {

constexpr unsigned kSwitchingProtocols = 101;
constexpr unsigned kOk = 200;

bool is_interim(const ReplyHead& head) {
  return head.status < kOk && head.status != kSwitchingProtocols;
}

/// A 101, or the engine's answer to attach and exec start of a client that asked for no
/// upgrade: a 200 without length, raw from there on.
bool starts_tunnel(const ReplyHead& head, const RequestHead& request) {
  if (head.status == kSwitchingProtocols) return true;
  return head.status == kOk && head.until_close && hijacks_without_upgrade(request);
}

}  // namespace

asio::awaitable<bool> try_write(ByteStream& to, std::span<const char> bytes) {
  try {
    co_await to.write(bytes);
  } catch (const std::exception&) {  // the caller decides what a dead peer means
    co_return false;
  }
  co_return true;
}

ReplyRelay::ReplyRelay(ByteStream& client, const RequestHead& request)
    : client_(client), request_(request), watch_(request.method == "HEAD") {}

asio::awaitable<std::size_t> ReplyRelay::pass(std::span<const char> bytes) {
  const bool in_head = !watch_.head_done();
  const auto fed = watch_.feed(bytes);
  if (!fed) {
    state_ = State::kMalformed;
    co_return 0;
  }
  std::size_t used = *fed;
  if (!watch_.head_done()) co_return used;
  if (in_head) {
    co_await pass_head(bytes, used);
  } else {
    const bool written = co_await try_write(client_, bytes.first(used));
    if (!written) state_ = State::kClientGone;
  }
  if (running()) after_bytes();
  co_return used;
}

/// `used` bytes complete the head; adds what goes out with it.
asio::awaitable<void> ReplyRelay::pass_head(std::span<const char> bytes, std::size_t& used) {
  const ReplyHead& head = watch_.head();
  const bool tunnel = starts_tunnel(head, request_);
  started_ = !is_interim(head);
  bool written = false;
  if (head.raw.size() > used) {  // it came in pieces
    written = co_await try_write(client_, head.raw);
  } else {
    // Head and body in one write: most replies are one read, too.
    if (!watch_.done() && !tunnel && used < bytes.size()) {
      const auto more = watch_.feed(bytes.subspan(used));
      if (!more) state_ = State::kMalformed;
      if (more) used += *more;
    }
    written = co_await try_write(client_, bytes.first(used));
  }
  if (!written) state_ = State::kClientGone;
  if (running() && tunnel) state_ = State::kTunnel;
}

void ReplyRelay::after_bytes() {
  if (!watch_.done()) return;
  if (is_interim(watch_.head())) {
    watch_ = ReplyWatch(request_.method == "HEAD");
  } else {
    state_ = State::kComplete;
  }
}

void ReplyRelay::end(bool properly) {
  if (!running()) return;
  if (!started_) {
    state_ = State::kNoReply;
  } else {
    state_ = properly && watch_.end() ? State::kComplete : State::kCut;
  }
}

}  // namespace towline::proxy
