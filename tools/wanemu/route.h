#pragma once

#include "tools/wanemu/options.h"

#include <string>

namespace towline::wanemu {

/// Replaces the current namespace's route to `peer` over `device` by one that carries the
/// TCP settings of the options; does nothing when there are none. They are set on the
/// route because the sysctl of a fresh namespace refuses algorithms that the host has not
/// marked as unrestricted (often all but its own default). Throws std::system_error.
void set_route(const std::string& peer, const char* device, const Options& options);

}  // namespace towline::wanemu
