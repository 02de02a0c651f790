#include "tools/wanemu/relay.h"

#include "tools/wanemu/failure.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace towline::wanemu {

Relay::Relay(const Options& options, int tun_a, int tun_b)
    : up_(options.up, options.mtu, options.offload, options.seed * 2 + 1),
      down_(options.down, options.mtu, options.offload, options.seed * 2 + 2),
      stop_event_(eventfd(0, EFD_CLOEXEC)) {
  if (!stop_event_) fail("eventfd");
  up_thread_ = std::thread([=, this] { up_.run(tun_a, tun_b, stop_event_.get(), cut_); });
  down_thread_ = std::thread([=, this] { down_.run(tun_b, tun_a, stop_event_.get(), cut_); });
}

Relay::~Relay() { stop(); }

void Relay::stop() {
  if (!up_thread_.joinable()) return;
  const std::uint64_t one = 1;
  if (write(stop_event_.get(), &one, sizeof one) != sizeof one) std::abort();
  up_thread_.join();
  down_thread_.join();
}

}  // namespace towline::wanemu
