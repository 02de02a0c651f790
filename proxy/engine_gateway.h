#pragma once

#include "proxy/agent_link.h"
#include "proxy/http_relay.h"

namespace towline::proxy {

/// The engine through the link: each tunnel is an interactive stream of its own.
class EngineGateway final : public Engine {
 public:
  explicit EngineGateway(AgentLink& link) : link_(link) {}
  asio::awaitable<std::unique_ptr<ByteStream>> open_tunnel(std::size_t hold_bytes) override;

 private:
  AgentLink& link_;
};

}  // namespace towline::proxy
