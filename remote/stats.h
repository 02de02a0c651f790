#pragma once

#include "protocol/messages.pb.h"
#include "syncfs/blob_store.h"

#include <string>

namespace towline::remote {

/// What `towline-agent stats --json` prints.
std::string stats_json(const syncfs::StoreUsage& store, std::size_t links,
                       const wire::EngineInfo& engine);

/// The same for people, from the JSON a running agent gave.
std::string stats_text(const std::string& json);

}  // namespace towline::remote
