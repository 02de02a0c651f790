#pragma once

#include "proxy/agent_link.h"
#include "proxy/build_handler.h"
#include "proxy/build_log.h"

#include "protocol/runtime.h"
#include "protocol/thread_set.h"
#include "syncfs/blob_store.h"
#include "syncfs/peer_record.h"
#include "syncfs/signature_cache.h"
#include "syncfs/snapshot_table.h"

namespace towline::proxy {

/// What builds need of the proxy. Outlives them.
struct BuildServices {
  Runtime& runtime;
  ThreadSet& threads;
  AgentLink& link;
  BuildLog& log;
  syncfs::BlobStore& store;
  syncfs::PeerRecord& record;
  syncfs::SnapshotTable& snapshots;
  syncfs::SignatureCache& signatures;
};

/// Takes `POST /build` bodies over: each crosses the link as a flight on a
/// stream of its own, a body that is no tar as it is (docs/builds.md). Loop thread only.
class BuildSender final : public BuildHandler {
 public:
  explicit BuildSender(BuildServices services) : services_(services) {}

  asio::awaitable<void> build(const RequestHead& head, BodyReader& body,
                              ReplyWriter& reply) override;

 private:
  BuildServices services_;
};

/// The level of a flight's compression for a link of this rate in bytes per second; 0: not known.
int flight_level(double bytes_per_second);

/// The request head for the engine: without the fields that frame the body and those that the relay
/// has dealt with; the agent frames the body itself.
std::string engine_head(const RequestHead& head);

}  // namespace towline::proxy
