#include "remote/agent.h"

#include "protocol/control_socket.h"
#include "protocol/error.h"
#include "protocol/log.h"
#include "protocol/resumable_stream.h"
#include "protocol/thread_set.h"
#include "protocol/transport.h"
#include "remote/engine_watch.h"
#include "remote/link_session.h"
#include "remote/stats.h"
#include "syncfs/blob_store.h"
#include "syncfs/peer_record.h"
#include "syncfs/snapshot_table.h"
#include "syncfs/whole_snapshots.h"

#include <filesystem>
#include <vector>

namespace towline::remote {
namespace {

/// Builds at once; each holds a thread and at most about 60 MiB.
constexpr std::size_t kFlightsMax = 64;

std::string socket_path_of(const std::string& engine) {
  const Result<Address> address = Address::parse(engine);
  if (!address || address->scheme != Address::Scheme::kUnix) {
    throw Error(Errc::unsupported,
                "use engine " + engine + " (an agent stands beside its engine: say unix://PATH)");
  }
  return address->path;
}

std::filesystem::path made(const std::filesystem::path& directory) {
  std::error_code ec;
  std::filesystem::create_directories(directory, ec);
  if (ec) throw Error(ec, "make state directory " + directory.string());
  std::filesystem::permissions(directory, std::filesystem::perms::owner_all, ec);
  if (ec) throw Error(ec, "protect state directory " + directory.string());
  return directory;
}

}  // namespace

struct Agent::Impl {
  Impl(Runtime& the_runtime, const Config& config)
      : runtime(the_runtime),
        state(made(config.state)),
        store({.dir = state / "store", .budget_bytes = config.store_budget_bytes}),
        access(state / "access.db"),
        snapshots(store, state / "snapshots.db"),
        threads(kFlightsMax),
        engine(runtime.loop.get_executor(), socket_path_of(config.engine)),
        services{.runtime = runtime,
                 .threads = threads,
                 .store = store,
                 .access = access,
                 .snapshots = snapshots,
                 .whole = whole,
                 .engine_socket = socket_path_of(config.engine)},
        links(runtime.loop, config.grace, [this](std::unique_ptr<ResumableStream> link) {
          return serve_link(std::move(link), services, engine);
        }) {
    if (config.listen.empty()) {
      throw Error(Errc::not_found, "listen: no address (say --listen unix://PATH or tls://ADDR:PORT)");
    }
    for (const std::string& text : config.listen) {
      const Result<Address> address = Address::parse(text);
      if (!address) throw Error(address.error(), "listen on " + text + " (say unix://PATH or tls://ADDR:PORT)");
      listeners.push_back(listen_transport(runtime.loop, *address, config.tls));
    }
  }

  Runtime& runtime;
  const std::filesystem::path state;
  syncfs::BlobStore store;
  syncfs::PeerRecord access;
  syncfs::SnapshotTable snapshots;
  syncfs::WholeSnapshots whole;
  ThreadSet threads;
  EngineWatch engine;
  BuildServices services;
  ResumableServer links;
  std::vector<std::unique_ptr<TransportListener>> listeners;
  std::unique_ptr<ControlSocket> control;
};

Agent::Agent(Runtime& runtime, const Config& config)
    : impl_(std::make_unique<Impl>(runtime, config)) {}

Agent::~Agent() = default;

void Agent::start() {
  Impl& agent = *impl_;
  spawn(agent.runtime.loop.get_executor(), "engine watch", agent.engine.run());
  for (const auto& listener : agent.listeners) {
    log::info("listening on {}", listener->address().str());
    spawn(agent.runtime.loop.get_executor(), "listener",
          listener->serve([&agent](std::unique_ptr<Transport> transport) {
            return agent.links.accept(std::move(transport));
          }));
  }
  agent.control = std::make_unique<ControlSocket>(
      agent.runtime.loop, (agent.state / "agent.sock").string(),
      [&agent](std::string request) -> asio::awaitable<std::string> {
        if (request != "stats") throw Error(Errc::unsupported, "control request '" + request + "'");
        co_return stats_json(agent.store.usage(), agent.links.streams(), agent.engine.info());
      });
}

void Agent::stop() {
  for (const auto& listener : impl_->listeners) listener->stop();
  impl_->control.reset();
}

}  // namespace towline::remote
