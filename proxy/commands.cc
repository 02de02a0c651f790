#include "proxy/commands.h"

#include "protocol/control_socket.h"
#include "protocol/error.h"
#include "proxy/background.h"
#include "proxy/daemon.h"
#include "proxy/profile.h"
#include "proxy/status.h"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <iostream>
#include <thread>

namespace towline::proxy {
namespace {

constexpr std::chrono::seconds kWatchStep{1};
constexpr std::chrono::milliseconds kFollowStep{100};

/// Runs a command with DOCKER_HOST set; its exit code is ours (128 + signal when one ended it).
int run_command(const std::vector<std::string>& command, const std::string& socket) {
  std::vector<char*> argv;
  std::vector<std::string> words = command;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string host = "unix://" + socket;
  // The command gets the terminal's signals itself; we have to outlive it to clean up.
  std::signal(SIGINT, SIG_IGN);
  std::signal(SIGQUIT, SIG_IGN);
  const pid_t child = ::fork();
  if (child < 0) throw_errno("run " + command.front());
  if (child == 0) {
    std::signal(SIGINT, SIG_DFL);
    std::signal(SIGQUIT, SIG_DFL);
    ::setenv("DOCKER_HOST", host.c_str(), 1);
    ::unsetenv("DOCKER_CONTEXT");  // it would win over DOCKER_HOST
    ::execvp(argv[0], argv.data());
    std::cerr << "towline: run " << command.front() << ": " << std::strerror(errno) << '\n';
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw_errno("wait for " + command.front());
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

int run_up(const Config& given) {
  const Profile profile = find_profile(given.name, given.state);
  make_state(profile);
  const bool was_running = !given.foreground && is_running(profile);
  const Config config = with_settings(given, profile);
  const auto last = load_settings(profile);
  if (was_running && last && last->remote != config.remote) {
    throw Error(Errc::conflict, "connect to " + config.remote + ": this profile is up with " +
                                    last->remote + " (towline down, or take another --name)");
  }
  if (!was_running) save_settings(profile, {config.remote, config.tls});
  write_docker_context(profile, docker_socket_of(config, profile), config.remote);
  if (config.foreground) {
    run_daemon(config, profile);
    return 0;
  }
  const std::string socket =
      was_running ? wait_until_ready(profile) : start_in_background(config, profile);
  std::cout << "export DOCKER_HOST=unix://" << socket << '\n';
  return 0;
}

int run_down(const Config& config) {
  const Profile profile = find_profile(config.name, config.state);
  if (!is_running(profile)) return 0;
  stop_background(profile);
  return 0;
}

int run_exec(const Config& given) {
  const Profile profile = find_profile(given.name, given.state);
  make_state(profile);
  const bool was_running = is_running(profile);
  const Config config = with_settings(given, profile);
  if (!was_running) save_settings(profile, {config.remote, config.tls});
  const std::string socket =
      was_running ? wait_until_ready(profile) : start_in_background(config, profile);
  const int code = run_command(config.exec, socket);
  if (!was_running) stop_background(profile);
  return code;
}

int run_status(const Config& config) {
  const Profile profile = find_profile(config.name, config.state);
  do {
    const std::string json = ask_control_socket(profile.control_socket().string(), "status");
    if (config.watch && !config.json) std::cout << "\033[H\033[2J";
    std::cout << (config.json ? json : status_text(json)) << std::flush;
    if (config.watch) std::this_thread::sleep_for(kWatchStep);
  } while (config.watch);
  return 0;
}

int run_logs(const Config& config) {
  const Profile profile = find_profile(config.name, config.state);
  std::ifstream in(profile.log_file());
  if (!in) {
    throw Error(Errc::not_found, "read " + profile.log_file().string() + " (no daemon has run here)");
  }
  std::string line;
  for (;;) {
    while (std::getline(in, line)) std::cout << line << '\n';
    std::cout << std::flush;
    if (!config.follow) return 0;
    in.clear();
    std::this_thread::sleep_for(kFollowStep);
  }
}

}  // namespace towline::proxy
