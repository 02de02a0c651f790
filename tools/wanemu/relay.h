#pragma once

#include "protocol/fd.h"
#include "tools/wanemu/link.h"
#include "tools/wanemu/options.h"

#include <atomic>
#include <thread>

namespace towline::wanemu {

/// Both directions of the path, each on a thread of its own.
class Relay {
 public:
  /// Starts relaying. The descriptors must outlive the relay.
  Relay(const Options& options, int tun_a, int tun_b);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay();

  /// Ends and joins the threads; idempotent. The counters may be read afterwards.
  void stop();
  /// Cuts the path in both directions, or restores it.
  void toggle_cut() { cut_ = !cut_; }

  const Link::Counters& up() const { return up_.counters(); }
  const Link::Counters& down() const { return down_.counters(); }

 private:
  Link up_;
  Link down_;
  Fd stop_event_;
  std::atomic<bool> cut_ = false;
  std::thread up_thread_;
  std::thread down_thread_;
};

}  // namespace towline::wanemu
