#pragma once

#include "protocol/h2_connection.h"
#include "protocol/runtime.h"
#include "protocol/thread_set.h"
#include "syncfs/flight_receiver.h"

#include <memory>
#include <string>

namespace towline::remote {

/// What builds need of the agent. Outlives them.
struct BuildServices {
  Runtime& runtime;
  ThreadSet& threads;
  syncfs::BlobStore& store;
  syncfs::PeerRecord& access;
  syncfs::SnapshotTable& snapshots;
  syncfs::WholeSnapshots& whole;
  std::string engine_socket;
};

/// Serves one stream of /towline/build: takes the flight in, makes the tar again and
/// posts it to the engine, while the flight is still under way where it can; relays the
/// engine's reply. A reset or the end of the stream ends the engine's connection,
/// which cancels the build. docs/builds.md.
asio::awaitable<void> serve_build(std::unique_ptr<H2Stream> stream, BuildServices& services,
                                  std::string identity);

}  // namespace towline::remote
