#pragma once

#include "protocol/resumable_stream.h"
#include "remote/build_session.h"
#include "remote/engine_watch.h"

#include <memory>

namespace towline::remote {

/// Serves one link until it ends: version negotiation and news of the engine on
/// /towline/control, then engine tunnels, builds and statistics, a stream each.
asio::awaitable<void> serve_link(std::unique_ptr<ResumableStream> link, BuildServices& services,
                                 EngineWatch& engine);

}  // namespace towline::remote
