#pragma once

#include "tools/wanemu/options.h"

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <vector>

namespace towline::wanemu {

inline constexpr std::int64_t kNsPerSec = 1'000'000'000;

/// The monotonic clock, in nanoseconds.
std::int64_t now_ns();

/// One direction of the path:
///
///     packet -> [random loss] -> [drop-tail queue] -> [serialise at rate]
///            -> [propagation delay (+ jitter, never reordering)] -> packet
///
/// Only run() touches the state, on its thread; counters() is for after that thread was
/// joined. Memory is bounded by the queue and the delay.
class Link {
 public:
  struct Counters {
    std::uint64_t packets = 0;           ///< delivered
    std::uint64_t bytes = 0;             ///< delivered
    std::uint64_t lost = 0;              ///< packets, by the random loss
    std::uint64_t dropped_full = 0;      ///< packets, by the full queue
    std::uint64_t cut = 0;               ///< packets, while the link was cut
    std::int64_t peak_queue = 0;         ///< bytes
    std::int64_t worst_lateness_ns = 0;  ///< scheduling error of the emulator itself
  };

  Link(const LinkOptions& options, int mtu, bool offload, std::uint64_t seed);

  /// Relays packets between two non-blocking TUN descriptors until `stop_event` is
  /// readable. Packets read while `is_cut` are dropped.
  void run(int from, int to, int stop_event, const std::atomic<bool>& is_cut);

  const Counters& counters() const { return counters_; }

 private:
  using Buffer = std::unique_ptr<std::uint8_t[]>;
  struct WireSize {
    std::int64_t packets;
    std::int64_t bytes;
  };
  struct Packet {
    std::int64_t due;
    Buffer data;
    std::size_t size;
    WireSize wire;
  };

  WireSize wire_size(const std::uint8_t* data, std::size_t size) const;
  bool read_burst(int from, const std::atomic<bool>& is_cut);
  void enqueue(Buffer buffer, std::size_t size);
  bool pass_queue(std::int64_t now, double wire_bytes, std::int64_t& sent);
  void deliver_due(int to);
  Buffer take_buffer();

  LinkOptions options_;
  bool offload_;
  std::size_t slot_size_;
  std::mt19937_64 rng_;
  std::uniform_real_distribution<double> uniform_{0.0, 1.0};
  std::deque<Packet> in_flight_;
  std::vector<Buffer> spare_;
  std::int64_t link_free_at_ = 0;
  std::int64_t last_due_ = 0;
  Counters counters_;
};

}  // namespace towline::wanemu
