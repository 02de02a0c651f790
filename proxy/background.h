#pragma once

#include "proxy/config.h"
#include "proxy/profile.h"

#include <string>

namespace towline::proxy {

/// True when a daemon of this profile answers.
bool is_running(const Profile& profile);

/// Starts this program again as the profile's daemon, its log in the profile's log
/// file, and waits until it is ready. Returns the docker socket. Throws Error with
/// what the daemon said when it ended first.
std::string start_in_background(const Config& config, const Profile& profile);

/// Waits until the running daemon has reached its agent; returns the docker socket.
std::string wait_until_ready(const Profile& profile);

/// Tells a running daemon to go and waits until it has.
void stop_background(const Profile& profile);

/// The remote and files that are not given come from the last `up`.
Config with_settings(Config config, const Profile& profile);

}  // namespace towline::proxy
