#include "tools/wanemu/process.h"

#include "tools/wanemu/failure.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>

namespace towline::wanemu {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(50);
constexpr int kGraceRounds = 40;      // 2 s of TERM before KILL
constexpr int kKillRounds = 200;      // 10 s in all
constexpr int kListenerRounds = 600;  // 30 s

/// The child's part: joins the namespace and becomes the command.
[[noreturn]] void become(const NetNamespace& ns, char side, const Addresses& addresses,
                         const std::vector<std::string>& argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (setns(ns.ns_fd(), CLONE_NEWNET) < 0) _exit(126);
  setenv("WANEMU_SIDE", std::string(1, side).c_str(), 1);
  setenv("WANEMU_SELF", addresses.self.c_str(), 1);
  setenv("WANEMU_PEER", addresses.peer.c_str(), 1);
  std::vector<char*> args;
  args.reserve(argv.size() + 1);
  for (const std::string& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
  args.push_back(nullptr);
  execvp(args[0], args.data());
  std::fprintf(stderr, "wanemu: %s: %s\n", args[0], std::strerror(errno));
  _exit(127);
}

std::vector<pid_t> children() {
  std::ifstream file("/proc/self/task/" + std::to_string(getpid()) + "/children");
  std::vector<pid_t> pids;
  for (pid_t pid; file >> pid;) pids.push_back(pid);
  return pids;
}

/// TERM goes out once, KILL in every round after the grace: new orphans may appear.
void signal_children(const std::vector<pid_t>& pids, int round) {
  if (round > 0 && round < kGraceRounds) return;
  const int signal = round == 0 ? SIGTERM : SIGKILL;
  for (const pid_t pid : pids) {
    kill(-pid, signal);
    kill(pid, signal);
  }
}

bool can_connect(const sockaddr_in& address) {
  const Fd sock(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return connect(sock.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

pid_t start_command(const NetNamespace& ns, char side, const Addresses& addresses,
                    const std::vector<std::string>& argv) {
  const pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) become(ns, side, addresses, argv);
  return pid;
}

void kill_descendants() {
  for (int round = 0; round < kKillRounds; ++round) {
    const std::vector<pid_t> pids = children();
    if (pids.empty()) return;
    signal_children(pids, round);
    std::this_thread::sleep_for(kPollInterval);
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }
}

bool wait_for_listener(const NetNamespace& ns, const std::string& address, int port) {
  sockaddr_in sin{};
  sin.sin_family = AF_INET;
  sin.sin_port = htons(static_cast<std::uint16_t>(port));
  inet_pton(AF_INET, address.c_str(), &sin.sin_addr);
  bool ready = false;
  // A thread of its own, since entering the namespace is for good.
  std::thread prober([&] {
    if (setns(ns.ns_fd(), CLONE_NEWNET) < 0) return;
    for (int round = 0; round < kListenerRounds && !ready; ++round) {
      ready = can_connect(sin);
      if (!ready) std::this_thread::sleep_for(kPollInterval);
    }
  });
  prober.join();
  return ready;
}

}  // namespace towline::wanemu
