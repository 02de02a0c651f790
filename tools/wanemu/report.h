#pragma once

#include "tools/wanemu/relay.h"

#include <string>

namespace towline::wanemu {

/// Writes the counters of a stopped relay as one JSON object. Throws std::system_error.
void write_json(const std::string& path, const Relay& relay, double seconds);

/// Prints the counters of a stopped relay to stderr.
void print_summary(const Relay& relay, double seconds);

}  // namespace towline::wanemu
