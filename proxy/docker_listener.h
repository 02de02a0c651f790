#pragma once

#include "protocol/byte_stream.h"
#include "protocol/fd.h"
#include "protocol/stream.h"
#include "proxy/read_ahead.h"

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>

namespace towline::proxy {

/// Who is at the other end of a Unix socket, as of its connect().
struct PeerCredentials {
  pid_t pid = -1;
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
};

/// Listens on the Unix socket that docker clients connect to. The file belongs to its owner
/// alone (0600) before anybody can connect; one that a dead process left is replaced. A
/// directory that is missing is made, 0700. Loop thread only.
class DockerListener {
 public:
  using Serve =
      std::function<asio::awaitable<void>(std::shared_ptr<ByteStream> client, PeerCredentials)>;

  /// Binds and listens. Throws conflict if somebody listens there or the path is no socket.
  DockerListener(const asio::any_io_executor& executor, std::filesystem::path path, Serve serve);
  DockerListener(const DockerListener&) = delete;
  DockerListener& operator=(const DockerListener&) = delete;
  /// Removes the socket file if it is still this listener's.
  ~DockerListener();

  /// Accepts until stop(); one `serve` per client, at most `clients_max` at once, later clients
  /// wait in the backlog. Running out of descriptors or memory pauses it. Clients that run go
  /// on when it returns; the listener must outlive them.
  asio::awaitable<void> run(std::size_t clients_max = kClientsMax);
  void stop() noexcept;
  /// Ends the connections of all clients.
  void abort_clients() noexcept;

  std::size_t clients() const noexcept { return clients_.size(); }
  /// Returns when no client is left.
  asio::awaitable<void> idle();

  /// 2 descriptors and 128 KiB each at the worst.
  static constexpr std::size_t kClientsMax = 4096;

 private:
  using Clients = std::list<std::shared_ptr<ByteStream>>;
  void listen();
  void admit(UnixSocket socket);
  asio::awaitable<void> serve_one(Clients::iterator client, PeerCredentials peer);
  asio::awaitable<void> pause();

  asio::any_io_executor executor_;
  std::filesystem::path path_;
  Serve serve_;
  UnixAcceptor acceptor_;
  Clients clients_;
  Event changed_;
  bool stopped_ = false;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace towline::proxy
