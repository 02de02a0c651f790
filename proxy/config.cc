#include "proxy/config.h"

#include "protocol/command_line.h"

#include <CLI/CLI.hpp>

#include <cstdlib>
#include <iostream>

namespace towline::proxy {
namespace {

std::string config_file() {
  const char* set = std::getenv("XDG_CONFIG_HOME");
  const char* home = std::getenv("HOME");
  const std::string base = set && *set ? set : std::string(home ? home : "") + "/.config";
  return base + "/towline/config.toml";
}

/// Options that are text first and become values once all is known.
struct Texts {
  std::string budget = "20G";
  long grace = kGraceDefault.count();
};

void add_profile(CLI::App& app, Config& config) {
  app.add_option("--name", config.name, "the profile; each has a socket and a Docker context");
  app.add_option("--state", config.state, "the profile's state directory");
}

void add_daemon(CLI::App& app, Config& config, Texts& texts) {
  app.add_option("--socket", config.socket, "where docker clients connect");
  app.add_option("--grace", texts.grace, "seconds that a lost link may take to come back")
      ->check(CLI::Range(1L, 30L * 24 * 3600));
  app.add_option("--store-budget", texts.budget, "how large the store of shadows may grow")
      ->default_str(texts.budget);
  app.add_option("--tls-ca", config.tls.ca, "PEM file of who may sign agents");
  app.add_option("--tls-cert", config.tls.certificate, "PEM file of this laptop's certificate");
  app.add_option("--tls-key", config.tls.key, "PEM file of this laptop's key");
  app.add_flag("--verbose", config.verbose, "log every request");
}

CLI::App* add_command(CLI::App& app, Config& config, Config::Command command, const char* name,
                      const char* about) {
  CLI::App* sub = app.add_subcommand(name, about);
  sub->callback([&config, command] { config.command = command; });
  return sub;
}

constexpr const char* kRemoteHelp = "tls://HOST:PORT or unix://PATH; without it, the last one";

void add_commands(CLI::App& app, Config& config, Texts& texts) {
  CLI::App* up = add_command(app, config, Config::Command::kUp, "up",
                             "connect, and serve docker clients in the background");
  up->add_option("REMOTE", config.remote, kRemoteHelp);
  up->add_flag("--foreground", config.foreground, "stay in the foreground, log to stderr");
  add_profile(*up, config);
  add_daemon(*up, config, texts);
  up->footer("Example:\n  towline up tls://build.example:7575\n  eval \"$(towline up)\"");

  CLI::App* down = add_command(app, config, Config::Command::kDown, "down", "stop the daemon");
  down->add_flag("--force", config.force, "stop even while something is pending");
  add_profile(*down, config);
  down->footer("Example:\n  towline down");

  CLI::App* exec = add_command(app, config, Config::Command::kExec, "exec",
                               "run one command with DOCKER_HOST set, up and down around it");
  exec->add_option("REMOTE", config.remote, kRemoteHelp);
  add_profile(*exec, config);
  add_daemon(*exec, config, texts);
  exec->footer("Example:\n  towline exec tls://build.example:7575 -- docker build .");

  CLI::App* status = add_command(app, config, Config::Command::kStatus, "status",
                                 "link, engine, builds and store");
  status->add_flag("--json", config.json, "as one JSON object");
  status->add_flag("--watch", config.watch, "again every second");
  add_profile(*status, config);
  status->footer("Example:\n  towline status --json");

  CLI::App* logs = add_command(app, config, Config::Command::kLogs, "logs", "print the daemon's log");
  logs->add_flag("-f,--follow", config.follow, "go on as it grows");
  add_profile(*logs, config);
  logs->footer("Example:\n  towline logs -f");

  add_command(app, config, Config::Command::kVersion, "version", "print the version")
      ->footer("Example:\n  towline version");
}

/// Takes what follows `--` off the arguments: it is for the command that exec runs.
std::vector<std::string> split_command(std::vector<std::string>& arguments) {
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  if (dashes == arguments.end()) return {};
  std::vector<std::string> command(dashes + 1, arguments.end());
  arguments.erase(dashes, arguments.end());
  return command;
}

}  // namespace

Parsed parse_command_line(int argc, char** argv) {
  Parsed parsed;
  Config& config = parsed.config;
  Texts texts;
  std::vector<std::string> arguments(argv + 1, argv + argc);
  config.arguments = arguments;
  config.exec = split_command(arguments);
  CLI::App app("A far Docker engine as if it were here.", "towline");
  app.require_subcommand(1);
  app.footer("Example:\n  towline up tls://build.example:7575 && docker --context towline ps");
  add_commands(app, config, texts);
  try {
    add_value_sources(app, config_file());
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes a vector
    app.parse(arguments);
    config.store_budget_bytes = parse_size(texts.budget);
    config.grace = std::chrono::seconds(texts.grace);
    if (config.command == Config::Command::kExec && config.exec.empty()) {
      throw CLI::RequiredError("exec: a COMMAND after --");
    }
  } catch (const CLI::ParseError& error) {
    parsed.exit_code = error.get_exit_code() == 0 ? app.exit(error) : 2;
    if (parsed.exit_code == 2) {
      std::cerr << "towline: read the command line: " << error.what() << " (see towline --help)\n";
    }
  } catch (const std::exception& error) {
    std::cerr << "towline: " << error.what() << '\n';
    parsed.exit_code = 2;
  }
  return parsed;
}

}  // namespace towline::proxy
