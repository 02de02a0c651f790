#include "proxy/docker_listener.h"

#include "protocol/log.h"
#include "protocol/runtime.h"
#include "protocol/unix_stream.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <utility>

namespace towline::proxy {
namespace {

namespace fs = std::filesystem;

constexpr int kBacklog = 1024;
// When descriptors or memory run out, nothing tells when there are some again.
constexpr std::chrono::milliseconds kAcceptPause{100};

sockaddr_un address_of(const fs::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& text = path.native();
  if (text.size() >= sizeof(address.sun_path)) {
    throw Error(Errc::too_large, "path of the Docker socket " + text);
  }
  std::memcpy(address.sun_path, text.data(), text.size());
  return address;
}

Fd make_socket(const fs::path& path) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw_errno("make the Docker socket " + path.native());
  return fd;
}

void make_directory(const fs::path& directory) {
  if (directory.empty()) return;
  struct stat facts{};
  if (::stat(directory.c_str(), &facts) == 0) return;
  make_directory(directory.parent_path());
  if (::mkdir(directory.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    throw_errno("make the directory " + directory.native());
  }
}

/// Throws conflict unless the path is free or a socket that nobody listens on; that goes.
void remove_stale(const fs::path& path) {
  struct stat facts{};
  if (::lstat(path.c_str(), &facts) != 0) {
    if (errno == ENOENT) return;
    throw_errno("look at " + path.native());
  }
  if (!S_ISSOCK(facts.st_mode)) throw Error(Errc::conflict, path.native() + " is not a socket");
  const Fd probe = make_socket(path);
  const sockaddr_un address = address_of(path);
  const int connected =
      ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  // Any other answer, a full backlog too, comes from something that lives.
  if (connected == 0 || errno != ECONNREFUSED) {
    throw Error(Errc::conflict, "somebody listens on " + path.native());
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw_errno("replace " + path.native());
}

PeerCredentials peer_of(int fd) {
  ucred facts{};
  socklen_t size = sizeof(facts);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &facts, &size) != 0) return {};
  return {.pid = facts.pid, .uid = facts.uid, .gid = facts.gid};
}

bool is_shortage(const boost::system::error_code& ec) {
  return ec == std::errc::too_many_files_open || ec == std::errc::too_many_files_open_in_system ||
         ec == std::errc::no_buffer_space || ec == std::errc::not_enough_memory;
}

}  // namespace

DockerListener::DockerListener(const asio::any_io_executor& executor, fs::path path, Serve serve)
    : executor_(executor),
      path_(std::move(path)),
      serve_(std::move(serve)),
      acceptor_(executor),
      changed_(executor) {
  make_directory(path_.parent_path());
  remove_stale(path_);
  listen();
}

void DockerListener::listen() {
  Fd fd = make_socket(path_);
  const sockaddr_un address = address_of(path_);
  // The file gets the mode the socket has when it is bound: never open to others, and no
  // umask, which belongs to all threads.
  if (::fchmod(fd.get(), S_IRUSR | S_IWUSR) != 0) throw_errno("protect " + path_.native());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    throw_errno("bind the Docker socket " + path_.native());
  }
  struct stat facts{};
  if (::lstat(path_.c_str(), &facts) != 0) throw_errno("look at " + path_.native());
  device_ = facts.st_dev;
  inode_ = facts.st_ino;
  if (::listen(fd.get(), kBacklog) != 0) throw_errno("listen on " + path_.native());
  acceptor_.assign(asio::local::stream_protocol(), fd.get());
  (void)fd.release();
}

DockerListener::~DockerListener() {
  struct stat facts{};
  const bool ours =
      ::lstat(path_.c_str(), &facts) == 0 && facts.st_dev == device_ && facts.st_ino == inode_;
  if (ours) ::unlink(path_.c_str());
}

void DockerListener::stop() noexcept {
  stopped_ = true;
  boost::system::error_code ignored;  // closing cannot fail in a way anybody can mend
  (void)acceptor_.close(ignored);
  changed_.notify();
}

void DockerListener::abort_clients() noexcept {
  for (const auto& client : clients_) client->abort();
}

asio::awaitable<void> DockerListener::pause() {
  asio::steady_timer timer(executor_, kAcceptPause);
  co_await timer.async_wait(asio::use_awaitable);
}

asio::awaitable<void> DockerListener::run(std::size_t clients_max) {
  while (!stopped_) {
    if (clients_.size() >= clients_max) {
      co_await changed_.wait();
      continue;
    }
    UnixSocket socket(executor_);
    const auto result = co_await acceptor_.async_accept(socket, kAsTuple);
    const boost::system::error_code ec = std::get<0>(result);
    if (stopped_) co_return;
    if (is_shortage(ec)) {
      log::warn("accept on {}: {}", path_.native(), ec.message());
      co_await pause();
    } else if (ec == asio::error::connection_aborted) {
      continue;  // it left while waiting
    } else if (ec) {
      throw Error(ec, "accept on " + path_.native());
    } else {
      admit(std::move(socket));
    }
  }
}

void DockerListener::admit(UnixSocket socket) {
  const PeerCredentials peer = peer_of(socket.native_handle());
  clients_.push_back(std::make_shared<UnixStream>(std::move(socket)));
  spawn(executor_, "docker client", serve_one(std::prev(clients_.end()), peer));
}

asio::awaitable<void> DockerListener::serve_one(Clients::iterator client, PeerCredentials peer) {
  std::exception_ptr failure;
  try {
    co_await serve_(*client, peer);
  } catch (...) {  // passed on to spawn, which logs it
    failure = std::current_exception();
  }
  (*client)->abort();
  clients_.erase(client);
  changed_.notify();
  if (failure) std::rethrow_exception(failure);
}

asio::awaitable<void> DockerListener::idle() {
  while (!clients_.empty()) co_await changed_.wait();
}

}  // namespace towline::proxy
