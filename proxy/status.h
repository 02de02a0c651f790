#pragma once

#include "proxy/agent_link.h"
#include "proxy/build_log.h"
#include "syncfs/blob_store.h"

#include <string>

namespace towline::proxy {

/// The object of `towline status --json`; its fields are a promise (docs/operations.md).
std::string status_json(const std::string& profile, const AgentLink& link, const BuildLog& builds,
                        const syncfs::StoreUsage& store);

/// The same for people, from that JSON.
std::string status_text(const std::string& json);

}  // namespace towline::proxy
