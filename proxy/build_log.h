#pragma once

#include "syncfs/flight.h"

#include <chrono>
#include <cstdint>
#include <list>
#include <string>

namespace towline::proxy {

/// One build as `towline status` tells of it.
struct BuildStatus {
  std::string id;       // 32 hex digits
  std::string kind;     // legacy
  std::string context;  // the tag, or the Dockerfile where there is none
  std::string state;    // syncing, building, done, failed, cancelled
  syncfs::FlightCounters counters;
  std::uint64_t received_bytes = 0;
  std::chrono::steady_clock::time_point began;
  double sync_seconds = 0;
};

/// The builds that run and the last ones that ended. Loop thread only.
class BuildLog {
 public:
  BuildStatus& begin(BuildStatus status);
  const std::list<BuildStatus>& builds() const { return builds_; }

 private:
  static constexpr std::size_t kKeptMax = 64;
  std::list<BuildStatus> builds_;  // references stay while a build runs
};

}  // namespace towline::proxy
