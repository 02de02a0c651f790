#include "proxy/daemon.h"

#include "protocol/control_socket.h"
#include "protocol/error.h"
#include "protocol/log.h"
#include "protocol/runtime.h"
#include "protocol/thread_set.h"
#include "proxy/agent_link.h"
#include "proxy/build_log.h"
#include "proxy/build_sender.h"
#include "proxy/docker_listener.h"
#include "proxy/engine_answers.h"
#include "proxy/engine_gateway.h"
#include "proxy/http_relay.h"
#include "proxy/status.h"
#include "syncfs/blob_store.h"
#include "syncfs/peer_record.h"
#include "syncfs/signature_cache.h"
#include "syncfs/snapshot_table.h"

#include <boost/asio/signal_set.hpp>

#include <csignal>

namespace towline::proxy {
namespace {

/// Builds at once; each holds a thread and at most about 60 MiB.
constexpr std::size_t kFlightsMax = 64;
constexpr std::chrono::seconds kDrainMax{10};
constexpr std::chrono::milliseconds kDrainStep{50};

AgentLink::Options link_options(const Config& config) {
  const Result<Address> remote = Address::parse(config.remote);
  if (!remote) {
    throw Error(remote.error(), "use remote '" + config.remote + "' (say tls://HOST:PORT or unix://PATH)");
  }
  return {.remote = *remote, .tls = config.tls, .grace = config.grace};
}

class Daemon {
 public:
  Daemon(Runtime& runtime, const Config& config, const Profile& profile)
      : runtime_(runtime),
        profile_(profile),
        store_({.dir = profile.state / "store", .budget_bytes = config.store_budget_bytes}),
        record_(profile.state / "record.db"),
        snapshots_(store_, profile.state / "snapshots.db"),
        signatures_(profile.state / "signatures.db"),
        threads_(kFlightsMax),
        link_(runtime.loop, link_options(config)),
        gateway_(link_),
        answers_(link_),
        builds_({.runtime = runtime,
                 .threads = threads_,
                 .link = link_,
                 .log = log_,
                 .store = store_,
                 .record = record_,
                 .snapshots = snapshots_,
                 .signatures = signatures_}),
        docker_socket_(docker_socket_of(config, profile)),
        listener_(runtime.loop.get_executor(), docker_socket_,
                  [this](std::shared_ptr<ByteStream> client, const PeerCredentials&) {
                    const RelayServices services{
                        .engine = gateway_, .answers = &answers_, .builds = &builds_};
                    return relay_connection(std::move(client), services);
                  }) {}

  void start() {
    const auto loop = runtime_.loop.get_executor();
    spawn(loop, "link", link_.run());
    spawn(loop, "docker listener", listener_.run());
    control_ = std::make_unique<ControlSocket>(
        runtime_.loop, profile_.control_socket().string(),
        [this](std::string request) { return answer(std::move(request)); });
  }

  /// Lets builds end, makes stores durable and stops the loop.
  asio::awaitable<void> drain() {
    log::info("stopping");
    listener_.stop();
    asio::steady_timer pause(runtime_.loop);
    const auto deadline = std::chrono::steady_clock::now() + kDrainMax;
    while (threads_.running() > 0 && std::chrono::steady_clock::now() < deadline) {
      pause.expires_after(kDrainStep);
      co_await pause.async_wait(asio::use_awaitable);
    }
    syncfs::BlobStore* store = &store_;
    const auto flush = [](syncfs::BlobStore* of) { of->flush(); };
    co_await run_on(runtime_.workers, flush, store);
    control_.reset();
    runtime_.loop.stop();
  }

 private:
  asio::awaitable<std::string> answer(std::string request) {
    if (request == "ready") {
      co_await link_.wait_ready();
      co_return "ready " + docker_socket_ + "\n";
    }
    if (request == "status") {
      const auto ask = [](syncfs::BlobStore* of) { return of->usage(); };
      syncfs::BlobStore* store = &store_;
      const syncfs::StoreUsage usage = co_await run_on(runtime_.workers, ask, store);
      co_return status_json(profile_.context_name(), link_, log_, usage);
    }
    if (request == "down") {
      spawn(runtime_.loop.get_executor(), "drain", drain());
      co_return "stopping\n";
    }
    throw Error(Errc::unsupported, "control request '" + request + "'");
  }

  Runtime& runtime_;
  const Profile profile_;
  syncfs::BlobStore store_;
  syncfs::PeerRecord record_;
  syncfs::SnapshotTable snapshots_;
  syncfs::SignatureCache signatures_;
  ThreadSet threads_;
  AgentLink link_;
  BuildLog log_;
  EngineGateway gateway_;
  EngineAnswers answers_;
  BuildSender builds_;
  const std::string docker_socket_;
  DockerListener listener_;
  std::unique_ptr<ControlSocket> control_;
};

}  // namespace

std::string docker_socket_of(const Config& config, const Profile& profile) {
  return config.socket.empty() ? profile.docker_socket().string()
                               : std::filesystem::absolute(config.socket).string();
}

void run_daemon(const Config& config, const Profile& profile) {
  std::signal(SIGPIPE, SIG_IGN);
  if (config.verbose) log::set_level(log::Level::kDebug);
  Runtime runtime;
  Daemon daemon(runtime, config, profile);
  asio::signal_set signals(runtime.loop, SIGTERM, SIGINT);
  signals.async_wait([&](const boost::system::error_code& ec, int) {
    if (!ec) spawn(runtime.loop.get_executor(), "drain", daemon.drain());
  });
  daemon.start();
  runtime.loop.run();
  // Everything acknowledged is durable: the process ends here rather than unwinding what
  // still hangs on clients and on the link.
  std::quick_exit(0);
}

}  // namespace towline::proxy
