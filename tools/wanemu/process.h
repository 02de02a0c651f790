#pragma once

#include "tools/wanemu/net_namespace.h"

#include <sys/types.h>

#include <string>
#include <vector>

namespace towline::wanemu {

/// Starts a command inside the namespace, in a process group of its own and with the
/// WANEMU_* variables set; it dies with wanemu. Returns its pid. Throws std::system_error
/// when no process can be made; a command that cannot run ends with status 126 or 127.
pid_t start_command(const NetNamespace& ns, char side, const Addresses& addresses,
                    const std::vector<std::string>& argv);

/// Ends every descendant, TERM first and KILL after two seconds. The caller must be a
/// child subreaper, so that daemons which left their group are direct children.
void kill_descendants();

/// Waits up to 30 s, inside the namespace, until something listens on the port.
bool wait_for_listener(const NetNamespace& ns, const std::string& address, int port);

}  // namespace towline::wanemu
