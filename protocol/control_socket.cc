#include "protocol/control_socket.h"

#include "protocol/error.h"
#include "protocol/runtime.h"
#include "protocol/unix_stream.h"

#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <sys/stat.h>

#include <array>
#include <filesystem>

namespace towline {
namespace {

constexpr std::size_t kRequestMax = 4096;
constexpr std::chrono::milliseconds kAcceptPause{100};

asio::awaitable<std::string> read_line(ByteStream& stream) {
  std::string line;
  std::array<char, 512> buffer;
  for (;;) {
    const std::size_t n = co_await stream.read_some(buffer);
    line.append(buffer.data(), n);
    const std::size_t end = line.find('\n');
    if (end != line.npos) co_return line.substr(0, end);
    if (n == 0) throw Error(Errc::disconnected, "read control request");
    if (line.size() > kRequestMax) throw Error(Errc::too_large, "read control request");
  }
}

asio::awaitable<void> serve_client(UnixSocket socket, ControlSocket::Handler handler) {
  UnixStream stream(std::move(socket));
  const std::string request = co_await read_line(stream);
  std::string answer;
  try {
    answer = co_await handler(request);
  } catch (const std::exception& failure) {
    answer = std::string("error: ") + failure.what() + "\n";
  }
  co_await stream.write(answer);
  stream.close_write();
}

}  // namespace

struct ControlSocket::State : std::enable_shared_from_this<State> {
  State(asio::io_context& loop, std::string socket_path, Handler answer)
      : path(std::move(socket_path)), handler(std::move(answer)), acceptor(loop) {
    std::error_code ignored;  // not there is what we want
    std::filesystem::remove(path, ignored);
    acceptor.open();
    const mode_t old = ::umask(0177);
    boost::system::error_code ec;
    (void)acceptor.bind(asio::local::stream_protocol::endpoint(path), ec);
    ::umask(old);
    if (ec) throw Error(ec, "bind control socket " + path);
    acceptor.listen();
  }

  asio::awaitable<void> accept_all() {
    const auto self = shared_from_this();
    asio::steady_timer pause(acceptor.get_executor());
    for (;;) {
      auto accepted = co_await acceptor.async_accept(kAsTuple);
      if (!acceptor.is_open()) co_return;  // the daemon goes
      if (std::get<0>(accepted)) {         // out of descriptors, say: not for ever
        pause.expires_after(kAcceptPause);
        co_await pause.async_wait(asio::use_awaitable);
        continue;
      }
      spawn(acceptor.get_executor(), "control socket",
            serve_client(UnixSocket(std::move(std::get<1>(accepted))), handler));
    }
  }

  std::string path;
  Handler handler;
  UnixAcceptor acceptor;
};

ControlSocket::ControlSocket(asio::io_context& loop, std::string path, Handler handler)
    : state_(std::make_shared<State>(loop, std::move(path), std::move(handler))) {
  spawn(loop.get_executor(), "control socket", state_->accept_all());
}

ControlSocket::~ControlSocket() {
  boost::system::error_code ignored;  // closing a listener cannot be mended
  (void)state_->acceptor.close(ignored);
  std::error_code absent;
  std::filesystem::remove(state_->path, absent);
}

std::string ask_control_socket(const std::string& path, const std::string& request) {
  asio::io_context context;
  asio::local::stream_protocol::socket socket(context);
  boost::system::error_code ec;
  (void)socket.connect(asio::local::stream_protocol::endpoint(path), ec);
  if (ec == asio::error::connection_refused || ec == boost::system::errc::no_such_file_or_directory) {
    throw Error(Errc::not_found, "no daemon at " + path);
  }
  if (ec) throw Error(ec, "connect to " + path);
  asio::write(socket, asio::buffer(request + "\n"));
  std::string answer;
  asio::read(socket, asio::dynamic_buffer(answer), ec);
  if (ec && ec != asio::error::eof) throw Error(ec, "read from " + path);
  return answer;
}

}  // namespace towline
