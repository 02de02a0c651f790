#include "remote/config.h"

#include "protocol/command_line.h"

#include <CLI/CLI.hpp>

#include <cstdlib>
#include <iostream>

namespace towline::remote {
namespace {

constexpr const char* kConfigFile = "/etc/towline/agent.toml";

std::string default_engine() {
  const char* host = std::getenv("DOCKER_HOST");
  return host && *host ? host : "unix:///var/run/docker.sock";
}

void add_serve(CLI::App& app, Config& config, std::string& budget, long& grace) {
  CLI::App* serve = app.add_subcommand("serve", "serve proxies until SIGTERM");
  serve->add_option("--listen", config.listen, "tls://ADDR:PORT or unix://PATH; may be repeated")
      ->delimiter(',');
  serve->add_option("--engine", config.engine, "the engine's socket")->default_str(config.engine);
  serve->add_option("--state", config.state, "where stores and tables live")->default_str(config.state);
  serve->add_option("--store-budget", budget, "how large the store may grow")->default_str(budget);
  serve->add_option("--grace", grace, "seconds to keep what hangs on a lost link")
      ->check(CLI::Range(1L, 30L * 24 * 3600));
  serve->add_option("--tls-ca", config.tls.ca, "PEM file of who may sign proxies");
  serve->add_option("--tls-cert", config.tls.certificate, "PEM file of this agent's certificate");
  serve->add_option("--tls-key", config.tls.key, "PEM file of this agent's key");
  serve->add_flag("--verbose", config.verbose, "log every request");
  serve->footer("Example:\n  towline-agent serve --listen tls://0.0.0.0:7575 --tls-ca ca.pem "
                "--tls-cert agent.pem --tls-key agent.key");
  serve->callback([&config] { config.command = Config::Command::kServe; });
}

void add_others(CLI::App& app, Config& config) {
  CLI::App* stats = app.add_subcommand("stats", "what a running agent holds and does");
  stats->add_option("--state", config.state, "the agent's state directory")->default_str(config.state);
  stats->add_flag("--json", config.json, "as one JSON object");
  stats->footer("Example:\n  towline-agent stats --json");
  stats->callback([&config] { config.command = Config::Command::kStats; });
  CLI::App* version = app.add_subcommand("version", "print the version");
  version->footer("Example:\n  towline-agent version");
  version->callback([&config] { config.command = Config::Command::kVersion; });
}

}  // namespace

Parsed parse_command_line(int argc, char** argv) {
  Parsed parsed;
  Config& config = parsed.config;
  config.engine = default_engine();
  std::string budget = "20G";
  long grace = config.grace.count();
  CLI::App app("The far side of Towline: stands beside a Docker engine.", "towline-agent");
  app.footer("Example:\n  towline-agent serve --listen unix:///run/towline/agent.sock");
  app.require_subcommand(1);
  add_serve(app, config, budget, grace);
  add_others(app, config);
  try {
    add_value_sources(app, kConfigFile);
    app.parse(argc, argv);
    config.store_budget_bytes = parse_size(budget);
    config.grace = std::chrono::seconds(grace);
  } catch (const CLI::ParseError& error) {
    parsed.exit_code = error.get_exit_code() == 0 ? app.exit(error) : 2;
    if (parsed.exit_code == 2) {
      std::cerr << "towline-agent: read the command line: " << error.what()
                << " (see towline-agent --help)\n";
    }
  } catch (const std::exception& error) {
    std::cerr << "towline-agent: " << error.what() << '\n';
    parsed.exit_code = 2;
  }
  return parsed;
}

}  // namespace towline::remote
