#pragma once

#include "protocol/limits.h"
#include "protocol/transport.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace towline::proxy {

/// What `towline` was told: flags over TOWLINE_* variables over the config file.
struct Config {
  enum class Command { kUp, kDown, kExec, kStatus, kLogs, kVersion };
  Command command = Command::kStatus;
  std::string remote;
  std::string name;
  std::string state;
  std::string socket;
  bool foreground = false;
  bool force = false;
  bool json = false;
  bool watch = false;
  bool follow = false;
  bool verbose = false;
  std::chrono::seconds grace = kGraceDefault;
  std::uint64_t store_budget_bytes = 20ull << 30;
  TlsFiles tls;
  std::vector<std::string> exec;  // `towline exec -- COMMAND...`
  std::vector<std::string> arguments;  // as given, for the daemon that `up` starts
};

struct Parsed {
  Config config;
  int exit_code = -1;  // negative: go on
};
/// Prints and gives an exit code where that is all there is to do (--help, a usage error: 2).
Parsed parse_command_line(int argc, char** argv);

}  // namespace towline::proxy
