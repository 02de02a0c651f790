#include "proxy/engine_gateway.h"

#include "protocol/error.h"
#include "protocol/message_stream.h"

namespace towline::proxy {

asio::awaitable<std::unique_ptr<ByteStream>> EngineGateway::open_tunnel(std::size_t hold_bytes) {
  const wire::EngineInfo* engine = link_.engine();
  if (engine && !engine->reachable()) {
    throw Error(Errc::disconnected, "reach the engine: " + engine->error());
  }
  auto stream = co_await link_.open("engine", Priority::kInteractive);
  wire::TunnelOpen open;
  open.set_hold(static_cast<std::uint32_t>(hold_bytes));
  co_await write_message(*stream, open);
  co_return stream;
}

}  // namespace towline::proxy
