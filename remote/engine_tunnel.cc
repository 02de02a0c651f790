#include "remote/engine_tunnel.h"

#include "protocol/error.h"
#include "protocol/limits.h"
#include "protocol/message_stream.h"
#include "protocol/messages.pb.h"
#include "remote/engine_client.h"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <array>
#include <memory>

namespace towline::remote {
namespace {

using namespace asio::experimental::awaitable_operators;

constexpr std::size_t kPieceSize = 64 << 10;
/// An upgrade's head and body: heads are bounded by the proxy, bodies by 1 MiB.
constexpr std::size_t kHoldMax = kHttpHeadMax + (1 << 20);

/// Bytes until the end of stream, which is handed on as a half-close.
asio::awaitable<void> pump(ByteStream& from, ByteStream& to) {
  const auto buffer = std::make_unique<std::array<char, kPieceSize>>();
  for (;;) {
    const std::size_t n = co_await from.read_some(*buffer);
    if (n == 0) break;
    co_await to.write(std::span(*buffer).first(n));
  }
  to.close_write();
}

asio::awaitable<std::string> gather(ByteStream& from, std::string first, std::size_t size) {
  std::string buffer(kPieceSize, '\0');
  while (first.size() < size) {
    const std::size_t n = co_await from.read_some(buffer);
    if (n == 0) break;
    first.append(buffer, 0, n);
  }
  co_return first;
}

asio::awaitable<void> join_engine(H2Stream& stream, std::string socket_path) {
  MessageReader reader(stream);
  wire::TunnelOpen open;
  const bool is_open = co_await reader.read(open);
  if (!is_open) co_return;
  if (open.hold() > kHoldMax) throw Error(Errc::too_large, "open engine tunnel");
  const auto engine = co_await connect_engine(std::move(socket_path));
  const std::string first = co_await gather(stream, reader.take_rest(), open.hold());
  co_await engine->write(first);
  co_await (pump(stream, *engine) && pump(*engine, stream));
}

}  // namespace

asio::awaitable<void> serve_engine_tunnel(std::unique_ptr<H2Stream> stream,
                                          std::string socket_path) {
  try {
    co_await join_engine(*stream, std::move(socket_path));
  } catch (...) {
    stream->abort();  // the other side must not take this for a clean end
    throw;
  }
}

}  // namespace towline::remote
