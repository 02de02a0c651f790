#include "proxy/background.h"

#include "protocol/control_socket.h"
#include "protocol/error.h"
#include "protocol/fd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

namespace towline::proxy {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPollStep{20};
constexpr std::chrono::seconds kStopMax{15};

/// Becomes the daemon. Never returns.
[[noreturn]] void become_daemon(const Config& config, const Profile& profile) {
  ::setsid();
  const int log = ::open(profile.log_file().c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (log < 0 || nothing < 0) ::_exit(1);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  std::vector<std::string> arguments{"towline", "up", config.remote, "--foreground",
                                     "--state", profile.state.string(),
                                     "--grace", std::to_string(config.grace.count()),
                                     "--store-budget", std::to_string(config.store_budget_bytes)};
  const auto add = [&](const char* flag, const std::string& value) {
    if (!value.empty()) arguments.insert(arguments.end(), {flag, value});
  };
  add("--name", config.name);
  add("--socket", config.socket);
  add("--tls-ca", config.tls.ca);
  add("--tls-cert", config.tls.certificate);
  add("--tls-key", config.tls.key);
  if (config.verbose) arguments.emplace_back("--verbose");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv("/proc/self/exe", argv.data());
  ::_exit(127);
}

/// What the daemon said when it ended: its last line without the log's own prefix.
std::string last_words(const Profile& profile, std::streamoff from) {
  std::ifstream in(profile.log_file());
  in.seekg(from);
  std::string line, last;
  while (std::getline(in, line)) {
    if (!line.empty()) last = line;
  }
  const std::string own = "towline: ";
  return last.starts_with(own) ? last.substr(own.size()) : last;
}

}  // namespace

bool is_running(const Profile& profile) {
  try {
    ask_control_socket(profile.control_socket().string(), "status");
    return true;
  } catch (const Error& failure) {
    if (failure.code() != Errc::not_found) throw;
    return false;
  }
}

std::string wait_until_ready(const Profile& profile) {
  const std::string answer = ask_control_socket(profile.control_socket().string(), "ready");
  const std::string good = "ready ";
  if (answer.starts_with(good)) return answer.substr(good.size(), answer.size() - good.size() - 1);
  const std::string bad = "error: ";
  const std::string why = answer.starts_with(bad) ? answer.substr(bad.size()) : "it went away";
  throw Error(Errc::disconnected, why.substr(0, why.find('\n')));
}

std::string start_in_background(const Config& config, const Profile& profile) {
  std::error_code ec;
  const auto had = std::filesystem::file_size(profile.log_file(), ec);
  const auto log_from = ec ? std::streamoff{0} : static_cast<std::streamoff>(had);
  const pid_t child = ::fork();
  if (child < 0) throw_errno("start the daemon");
  if (child == 0) become_daemon(config, profile);
  for (;;) {
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child) {
      throw Error(Errc::disconnected, "start the daemon: " + last_words(profile, log_from));
    }
    if (is_running(profile)) return wait_until_ready(profile);
    std::this_thread::sleep_for(kPollStep);
  }
}

void stop_background(const Profile& profile) {
  ask_control_socket(profile.control_socket().string(), "down");
  const auto deadline = std::chrono::steady_clock::now() + kStopMax;
  while (is_running(profile)) {
    if (std::chrono::steady_clock::now() > deadline) {
      throw Error(Errc::timed_out, "stop the daemon (its log: towline logs)");
    }
    std::this_thread::sleep_for(kPollStep);
  }
}

Config with_settings(Config config, const Profile& profile) {
  const auto last = load_settings(profile);
  if (config.remote.empty() && last) config.remote = last->remote;
  if (config.remote.empty()) {
    throw Error(Errc::not_found, "connect: no remote was given yet (say towline up tls://HOST:PORT)");
  }
  const bool has_tls = !config.tls.ca.empty() || !config.tls.certificate.empty();
  if (!has_tls && last && last->remote == config.remote) config.tls = last->tls;
  for (std::string* file : {&config.tls.ca, &config.tls.certificate, &config.tls.key}) {
    if (!file->empty()) *file = std::filesystem::absolute(*file).string();
  }
  return config;
}

}  // namespace towline::proxy
