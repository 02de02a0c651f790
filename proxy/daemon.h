#pragma once

#include "proxy/config.h"
#include "proxy/profile.h"

namespace towline::proxy {

/// Runs the proxy in this process until SIGTERM, SIGINT or `towline down`. Prints
/// nothing but logs; `ready` is asked over the control socket. Throws Error.
void run_daemon(const Config& config, const Profile& profile);

/// The socket that docker clients connect to.
std::string docker_socket_of(const Config& config, const Profile& profile);

}  // namespace towline::proxy
