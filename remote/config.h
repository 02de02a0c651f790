#pragma once

#include "protocol/limits.h"
#include "protocol/transport.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace towline::remote {

/// What `towline-agent` was told: flags over TOWLINE_* variables over the config file.
struct Config {
  enum class Command { kServe, kStats, kVersion };
  Command command = Command::kServe;
  std::vector<std::string> listen;
  std::string engine;
  std::string state = "/var/lib/towline";
  std::uint64_t store_budget_bytes = 20ull << 30;
  std::chrono::seconds grace = kGraceDefault;
  TlsFiles tls;
  bool json = false;
  bool verbose = false;
};

/// Parses the command line. Prints and returns an exit code where that is all there
/// is to do (--help, a usage error: 2).
struct Parsed {
  Config config;
  int exit_code = -1;  // negative: go on
};
Parsed parse_command_line(int argc, char** argv);

}  // namespace towline::remote
