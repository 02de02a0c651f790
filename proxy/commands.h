#pragma once

#include "proxy/config.h"

namespace towline::proxy {

// The commands of `towline`. Each returns its exit code (0 done, 1 failed, 3 the link
// or the agent cannot be reached) or throws Error.

int run_up(const Config& config);
int run_down(const Config& config);
int run_exec(const Config& config);
int run_status(const Config& config);
int run_logs(const Config& config);

}  // namespace towline::proxy
