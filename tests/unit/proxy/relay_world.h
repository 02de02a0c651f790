#pragma once

#include "protocol/runtime.h"
#include "protocol/stream.h"
#include "protocol/unix_stream.h"
#include "proxy/http_relay.h"
#include "proxy/read_ahead.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace towline::proxy {

/// The far end of a socket in a test: a docker client or dockerd.
class Peer {
 public:
  explicit Peer(UnixSocket socket) : socket_(std::move(socket)) {}

  asio::awaitable<void> send(std::string bytes) {
    co_await asio::async_write(socket_, asio::buffer(bytes));
  }
  /// One read, as a server with a large buffer would do it; empty at the end.
  asio::awaitable<std::string> read_once() {
    std::string bytes(256 << 10, '\0');
    const auto got = co_await socket_.async_read_some(asio::buffer(bytes), kAsTuple);
    bytes.resize(std::get<1>(got));
    co_return bytes;
  }
  /// Exactly `count` bytes, fewer at the end.
  asio::awaitable<std::string> read(std::size_t count) {
    std::string bytes(count, '\0');
    std::size_t filled = 0;
    while (filled < count) {
      const auto into = asio::buffer(bytes) + filled;
      const auto got = co_await socket_.async_read_some(into, kAsTuple);
      if (std::get<0>(got)) break;
      filled += std::get<1>(got);
    }
    bytes.resize(filled);
    co_return bytes;
  }
  asio::awaitable<std::string> read_to_end() {
    std::string all;
    for (;;) {
      const std::string bytes = co_await read_once();
      if (bytes.empty()) co_return all;
      all += bytes;
    }
  }
  asio::awaitable<void> expect(std::string_view bytes) {
    const std::string got = co_await read(bytes.size());
    EXPECT_EQ(got, bytes);
  }
  asio::awaitable<void> expect_end() {
    const std::string got = co_await read_once();
    EXPECT_EQ(got, "") << "should have ended";
  }
  void half_close() { socket_.shutdown(asio::socket_base::shutdown_send); }
  void close() { socket_.close(); }
  UnixSocket& socket() { return socket_; }

 private:
  UnixSocket socket_;
};

/// Lets everything that is ready run: a relay that wanted to pass bytes on has done so.
inline asio::awaitable<void> settle() {
  const auto executor = co_await asio::this_coro::executor;
  for (int i = 0; i < 200; ++i) co_await asio::post(executor, asio::use_awaitable);
}

/// As the agent does it: the first `hold` bytes reach dockerd in one write.
class HoldingStream final : public ByteStream {
 public:
  HoldingStream(UnixSocket socket, std::size_t hold) : stream_(std::move(socket)), hold_(hold) {}

  asio::awaitable<std::size_t> read_some(std::span<char> into) override {
    co_return co_await stream_.read_some(into);
  }
  asio::awaitable<void> write(std::span<const char> bytes) override {
    held_.append(bytes.data(), bytes.size());
    if (held_.size() < hold_) co_return;
    hold_ = 0;
    const std::string out = std::exchange(held_, {});
    co_await stream_.write(out);
  }
  void close_write() override { stream_.close_write(); }
  void abort() noexcept override { stream_.abort(); }

 private:
  UnixStream stream_;
  std::size_t hold_;
  std::string held_;
};

class ScriptedEngine final : public Engine {
 public:
  explicit ScriptedEngine(asio::io_context& loop) : loop_(loop), changed_(loop.get_executor()) {}

  asio::awaitable<std::unique_ptr<ByteStream>> open_tunnel(std::size_t hold_bytes) override {
    holds.push_back(hold_bytes);
    if (failure) std::rethrow_exception(failure);
    UnixSocket near(loop_);
    UnixSocket far(loop_);
    asio::local::connect_pair(near, far);
    waiting_.emplace_back(std::move(far));
    changed_.notify();
    co_return std::make_unique<HoldingStream>(std::move(near), hold_bytes);
  }
  /// The next connection "dockerd" gets.
  asio::awaitable<Peer> accept() {
    while (waiting_.empty()) co_await changed_.wait();
    Peer peer(std::move(waiting_.front()));
    waiting_.pop_front();
    co_return peer;
  }

  std::vector<std::size_t> holds;  // one for each tunnel opened
  std::exception_ptr failure;      // if set, tunnels fail to open with it

 private:
  asio::io_context& loop_;
  std::deque<UnixSocket> waiting_;
  Event changed_;
};

/// One loop with an engine and relays between it and clients.
class World {
 public:
  Peer connect() {
    UnixSocket near(loop);
    UnixSocket far(loop);
    asio::local::connect_pair(near, far);
    auto stream = std::make_shared<UnixStream>(std::move(far));
    ++running;
    spawn(loop.get_executor(), "relay", serve(std::move(stream)));
    return Peer(std::move(near));
  }
  asio::awaitable<void> serve(std::shared_ptr<ByteStream> stream) {
    const RelayServices services{engine, answers, builds};
    co_await relay_connection(std::move(stream), services);
    --running;
  }

  asio::io_context loop{1};
  ScriptedEngine engine{loop};
  LocalAnswers* answers = nullptr;
  BuildHandler* builds = nullptr;
  int running = 0;
};

using Script = asio::awaitable<void> (*)(World&);

/// Runs a test coroutine. Its sockets are closed when it ends; every relay must end too.
inline void run(World& world, asio::awaitable<void> script) {
  std::exception_ptr failure;
  bool ended = false;
  asio::co_spawn(world.loop, std::move(script), [&](std::exception_ptr e) {
    failure = e;
    ended = true;
  });
  world.loop.run_for(std::chrono::seconds(20));
  if (failure) std::rethrow_exception(failure);
  EXPECT_TRUE(ended) << "the script hangs";
  EXPECT_EQ(world.running, 0) << "a relay hangs";
}
inline void run(Script script) {
  World world;
  run(world, script(world));
}

}  // namespace towline::proxy
