#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace towline::wanemu {

/// One direction of the emulated path.
struct LinkOptions {
  double rate_bps = 0;           ///< bits of IP packets a second; 0 = unlimited
  std::int64_t delay_ns = 0;     ///< one-way propagation delay
  std::int64_t jitter_ns = 0;    ///< uniform in [0, jitter], order kept
  double loss = 0;               ///< probability, 0 to 1
  std::int64_t queue_bytes = 0;  ///< drop-tail limit of the bottleneck queue
  int overhead = 0;              ///< link-layer bytes added to each packet
};

/// What the command line says, with every default filled in.
struct Options {
  LinkOptions up;    ///< A to B
  LinkOptions down;  ///< B to A
  std::string ns_a;
  std::string ns_b;
  std::string address_a = "10.77.0.1";
  std::string address_b = "10.77.0.2";
  int mtu = 1500;
  std::string congestion;  ///< TCP congestion control of the route, both ways; empty = default
  std::uint32_t initcwnd = 0;
  bool offload = false;  ///< relay TSO packets of up to 64 KiB whole
  std::string run_a;
  std::string run_b;
  std::vector<std::string> argv_a;
  int wait_tcp = 0;  ///< port of B to wait for, 0 = none
  std::uint64_t seed = 1;
  std::string stats_json;
  bool quiet = false;
  bool help = false;
};

/// Namespaces whose names wanemu made up begin with this; only those are swept when stale.
inline constexpr char kAutoPrefix[] = "wanemu-";

/// The command line is wrong; what() says how.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Parses the arguments after the program's name. Throws UsageError.
Options parse_options(const std::vector<std::string>& arguments);

/// The text of --help.
const char* usage();

}  // namespace towline::wanemu
