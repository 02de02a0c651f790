#include "remote/engine_client.h"

#include "protocol/error.h"
#include "protocol/limits.h"

#include <boost/asio/this_coro.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include <array>

namespace towline::remote {

namespace beast = boost::beast;
namespace http = beast::http;

asio::awaitable<std::unique_ptr<UnixStream>> connect_engine(std::string socket_path) {
  const auto executor = co_await asio::this_coro::executor;
  UnixSocket socket(executor);
  const asio::local::stream_protocol::endpoint endpoint(socket_path);
  const auto [ec] = co_await socket.async_connect(endpoint, kAsTuple);
  if (ec) throw Error(ec, "connect to the engine at " + socket_path + " (is dockerd running?)");
  co_return std::make_unique<UnixStream>(std::move(socket));
}

asio::awaitable<EngineReply> engine_get(std::string socket_path, std::string target) {
  const auto stream = co_await connect_engine(socket_path);
  const std::string request = "GET " + target + " HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n";
  co_await stream->write(request);

  http::parser<false, http::string_body> parser;
  parser.body_limit(kEngineReplyMax);
  parser.header_limit(kHttpHeadMax);
  EngineReply reply;
  std::string received;
  std::array<char, 16384> buffer;
  while (!parser.is_done()) {
    const std::size_t n = co_await stream->read_some(buffer);
    const bool was_in_head = !parser.is_header_done();
    received.append(buffer.data(), n);
    beast::error_code ec;
    std::size_t used = 0;
    if (n == 0) {
      parser.put_eof(ec);
      if (!parser.is_done()) throw Error(Errc::disconnected, "GET " + target + " of the engine");
    } else {
      used = parser.put(asio::buffer(received), ec);
      if (ec == http::error::need_more) ec = {};
    }
    if (ec) throw Error(ec, "GET " + target + " of the engine");
    if (was_in_head && parser.is_header_done()) {
      reply.head = received.substr(0, received.find("\r\n\r\n") + 4);
    }
    received.erase(0, used);
  }
  reply.status = parser.get().result_int();
  reply.body = std::move(parser.get().body());
  co_return reply;
}

}  // namespace towline::remote
