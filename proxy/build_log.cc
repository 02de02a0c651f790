#include "proxy/build_log.h"

#include <iterator>
#include <utility>

namespace towline::proxy {

BuildStatus& BuildLog::begin(BuildStatus status) {
  for (auto old = builds_.begin(); old != builds_.end() && builds_.size() >= kKeptMax;) {
    const bool is_over = old->state != "syncing" && old->state != "building";
    old = is_over ? builds_.erase(old) : std::next(old);
  }
  return builds_.emplace_back(std::move(status));
}

}  // namespace towline::proxy
