#include "remote/link_session.h"

#include "protocol/error.h"
#include "protocol/h2_connection.h"
#include "protocol/limits.h"
#include "protocol/log.h"
#include "protocol/message_stream.h"
#include "protocol/messages.pb.h"
#include "remote/engine_tunnel.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>

namespace towline::remote {
namespace {

wire::Welcome make_welcome(std::uint32_t protocol, BuildServices& services,
                           const EngineWatch& engine) {
  wire::Welcome welcome;
  welcome.set_protocol(protocol);
  welcome.set_version(TOWLINE_VERSION);
  const syncfs::StoreId& store = services.store.id();
  welcome.set_store_id(store.data(), store.size());
  std::array<unsigned char, 32> nonce;
  if (RAND_bytes(nonce.data(), nonce.size()) != 1) throw Error(Errc::conflict, "make a nonce");
  welcome.set_nonce(nonce.data(), nonce.size());
  *welcome.mutable_engine() = engine.info();
  return welcome;
}

wire::Refusal make_refusal(const wire::Hello& hello) {
  wire::Refusal refusal;
  refusal.set_protocol_min(kProtocolMin);
  refusal.set_protocol_max(kProtocolMax);
  refusal.set_version(TOWLINE_VERSION);
  const bool is_older = hello.protocol_max() < kProtocolMin;
  refusal.set_reason(is_older ? "upgrade towline on the laptop" : "upgrade towline-agent");
  return refusal;
}

/// Everything that runs for one link. Shared by the link's streams, which may end after it.
class LinkSession : public std::enable_shared_from_this<LinkSession> {
 public:
  LinkSession(std::unique_ptr<ResumableStream> link, BuildServices& services, EngineWatch& engine)
      : link_(std::move(link)), services_(services), engine_(engine) {}

  asio::awaitable<void> run() {
    log::info("link from {}: up", link_->peer());
    link_->on_state([peer = link_->peer()](LinkState state, const std::string& why) {
      log::info("link from {}: {}: {}", peer, state == LinkState::kUp ? "up" : "waiting", why);
    });
    connection_ = H2Connection::make(
        *link_, H2Connection::Role::kServer, services_.runtime.loop.get_executor(),
        [this](std::unique_ptr<H2Stream> stream) { on_stream(std::move(stream)); });
    std::string why = "closed";
    try {
      co_await connection_->run();
    } catch (const boost::system::system_error& failure) {
      why = failure.what();
    }
    log::info("link from {}: over: {}", link_->peer(), why);
  }

 private:
  void on_stream(std::unique_ptr<H2Stream> stream) {
    const std::string path = stream->path();
    spawn(services_.runtime.loop.get_executor(), path, serve(shared_from_this(), std::move(stream)));
  }

  /// `self` keeps the session while the stream is served.
  static asio::awaitable<void> serve(std::shared_ptr<LinkSession> self,
                                     std::unique_ptr<H2Stream> stream) {
    const std::string path = stream->path();
    if (path == "/towline/control") {
      co_await self->serve_control(std::move(stream));
    } else if (!self->is_welcome_) {
      stream->abort();
      throw Error(Errc::incompatible, "serve " + path + " before hello");
    } else if (path == "/towline/engine") {
      co_await serve_engine_tunnel(std::move(stream), self->services_.engine_socket);
    } else if (path == "/towline/build") {
      co_await serve_build(std::move(stream), self->services_, self->link_->peer());
    } else if (path == "/towline/stats") {
      co_await self->serve_stats(std::move(stream));
    } else {
      stream->abort();
      throw Error(Errc::unsupported, "serve " + path);
    }
  }

  asio::awaitable<void> serve_control(std::unique_ptr<H2Stream> stream) {
    MessageReader reader(*stream);
    wire::Hello hello;
    const bool has_hello = co_await reader.read(hello);
    if (!has_hello) co_return;
    const std::uint32_t protocol = std::min(hello.protocol_max(), kProtocolMax);
    wire::Control control;
    if (protocol < std::max(hello.protocol_min(), kProtocolMin)) {
      log::warn("link from {}: refused: it speaks protocols {} to {}, this agent {} to {}",
                link_->peer(), hello.protocol_min(), hello.protocol_max(), kProtocolMin, kProtocolMax);
      *control.mutable_refusal() = make_refusal(hello);
      co_await write_message(*stream, control);
      stream->close_write();
      co_return;
    }
    is_welcome_ = true;
    co_await engine_.wait_newer(0);
    std::uint64_t told = engine_.info().generation();
    *control.mutable_welcome() = make_welcome(protocol, services_, engine_);
    co_await write_message(*stream, control);
    for (;;) {
      co_await engine_.wait_newer(told);
      told = engine_.info().generation();
      control.Clear();
      *control.mutable_engine() = engine_.info();
      co_await write_message(*stream, control);
    }
  }

  asio::awaitable<void> serve_stats(std::unique_ptr<H2Stream> stream) {
    MessageReader reader(*stream);
    wire::StatsRequest request;
    const bool has_request = co_await reader.read(request);
    if (!has_request) co_return;
    syncfs::BlobStore* store = &services_.store;
    const auto ask = [](syncfs::BlobStore* of) { return of->usage(); };
    const syncfs::StoreUsage usage = co_await run_on(services_.runtime.workers, ask, store);
    wire::Stats stats;
    stats.set_store_bytes(usage.bytes);
    stats.set_store_budget_bytes(usage.budget_bytes);
    stats.set_store_blobs(usage.blobs);
    co_await write_message(*stream, stats);
    stream->close_write();
  }

  std::unique_ptr<ResumableStream> link_;
  BuildServices& services_;
  EngineWatch& engine_;
  std::unique_ptr<H2Connection> connection_;
  bool is_welcome_ = false;
};

}  // namespace

asio::awaitable<void> serve_link(std::unique_ptr<ResumableStream> link, BuildServices& services,
                                 EngineWatch& engine) {
  const auto session = std::make_shared<LinkSession>(std::move(link), services, engine);
  co_await session->run();
}

}  // namespace towline::remote
