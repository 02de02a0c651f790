// wanemu: a wide-area link between two network namespaces, in user space, for kernels
// without netem. Each namespace has one TUN device; packets go between them through two
// independent emulated links (link.h). Nothing leaves the machine: neither namespace has
// a route to the outside. Rates count IP bytes (plus --overhead bytes a packet), so TCP
// goodput is at most 1448/1500 = 96.5 % of the rate at the default MTU.

#include "tools/wanemu/failure.h"
#include "tools/wanemu/net_namespace.h"
#include "tools/wanemu/options.h"
#include "tools/wanemu/process.h"
#include "tools/wanemu/relay.h"
#include "tools/wanemu/report.h"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

namespace towline::wanemu {
namespace {

/// The commands that run inside the namespaces; -1 where there is none.
struct Commands {
  pid_t service = -1;
  pid_t client = -1;
};

struct KillOnExit {
  ~KillOnExit() { kill_descendants(); }
};

std::vector<std::string> shell(const std::string& command) { return {"/bin/sh", "-c", command}; }

/// Signals are taken synchronously in wait_for_end; threads and children inherit the mask
/// (children reset it before exec).
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGUSR1}) sigaddset(&signals, signal);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

int exit_code(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

/// Reaps what has ended; true, with the client's exit code, if the client is among it.
bool reap(const Commands& commands, int& status) {
  bool client_ended = false;
  int wait_status = 0;
  for (pid_t pid; (pid = waitpid(-1, &wait_status, WNOHANG)) > 0;) {
    const int code = exit_code(wait_status);
    if (pid == commands.client) {
      status = code;
      client_ended = true;
    } else if (pid == commands.service && code != 0) {
      std::cerr << "wanemu: the service in B ended with status " << code << '\n';
    }
  }
  return client_ended;
}

/// Serves signals until the client ends or wanemu is told to; returns the exit code.
int wait_for_end(const sigset_t& signals, const Commands& commands, Relay& relay) {
  for (;;) {
    const int signal = sigwaitinfo(&signals, nullptr);
    int status = 0;
    if (signal == SIGUSR1) relay.toggle_cut();
    if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP) {
      return commands.client > 0 ? 128 + signal : 0;
    }
    if (signal == SIGCHLD && reap(commands, status)) return status;
  }
}

int run(const Options& o) {
  const sigset_t signals = block_signals();
  prctl(PR_SET_CHILD_SUBREAPER, 1);

  NetNamespace::sweep_stale();
  const Addresses side_a{o.address_a, o.address_b};
  const Addresses side_b{o.address_b, o.address_a};
  NetNamespace a(o.ns_a, side_a, o);
  NetNamespace b(o.ns_b, side_b, o);
  Relay relay(o, a.tun_fd(), b.tun_fd());
  const KillOnExit kill_on_exit;

  Commands commands;
  if (!o.run_b.empty()) commands.service = start_command(b, 'b', side_b, shell(o.run_b));
  if (o.wait_tcp > 0 && !wait_for_listener(b, o.address_b, o.wait_tcp)) {
    fail("service in " + b.name() + " does not listen", ETIMEDOUT);
  }
  const std::int64_t start = now_ns();
  const std::vector<std::string> argv = o.run_a.empty() ? o.argv_a : shell(o.run_a);
  if (argv.empty()) {
    std::cout << "ready " << a.name() << ' ' << b.name() << std::endl;
  } else {
    commands.client = start_command(a, 'a', side_a, argv);
  }
  const int status = wait_for_end(signals, commands, relay);
  const double seconds = static_cast<double>(now_ns() - start) / 1e9;
  kill_descendants();
  relay.stop();
  if (!o.stats_json.empty()) write_json(o.stats_json, relay, seconds);
  if (!o.quiet) print_summary(relay, seconds);
  return status;
}

}  // namespace
}  // namespace towline::wanemu

int main(int argc, char** argv) {
  using towline::wanemu::UsageError;
  try {
    const auto options = towline::wanemu::parse_options({argv + 1, argv + argc});
    if (options.help) {
      std::cout << towline::wanemu::usage();
      return 0;
    }
    return towline::wanemu::run(options);
  } catch (const UsageError& error) {
    std::cerr << "wanemu: " << error.what() << '\n' << towline::wanemu::usage();
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "wanemu: " << error.what() << '\n';
    return 1;
  }
}
