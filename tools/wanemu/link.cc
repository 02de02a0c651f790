#include "tools/wanemu/link.h"

#include "tools/wanemu/tun.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <utility>

namespace towline::wanemu {
namespace {

constexpr int kBurst = 32;  // packets read before those that are due are looked at again

std::size_t slot_size(int mtu, bool offload) {
  return offload ? 65536 + sizeof(VirtioNetHeader) : static_cast<std::size_t>(mtu) + 64;
}

/// Best effort: on a busy machine a late relay would look like jitter.
void raise_priority() {
  prctl(PR_SET_TIMERSLACK, 1);
  const sched_param priority{.sched_priority = 10};
  pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority);
}

}  // namespace

std::int64_t now_ns() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * kNsPerSec + ts.tv_nsec;
}

Link::Link(const LinkOptions& options, int mtu, bool offload, std::uint64_t seed)
    : options_(options), offload_(offload), slot_size_(slot_size(mtu, offload)), rng_(seed) {}

void Link::run(int from, int to, int stop_event, const std::atomic<bool>& is_cut) {
  raise_priority();
  std::array<pollfd, 2> polls{pollfd{from, POLLIN, 0}, pollfd{stop_event, POLLIN, 0}};
  for (;;) {
    deliver_due(to);
    if (read_burst(from, is_cut)) continue;
    timespec wait{};
    const timespec* timeout = nullptr;
    if (!in_flight_.empty()) {
      const std::int64_t left = std::max<std::int64_t>(0, in_flight_.front().due - now_ns());
      wait = {left / kNsPerSec, left % kNsPerSec};
      timeout = &wait;
    }
    if (ppoll(polls.data(), polls.size(), timeout, nullptr) < 0 && errno != EINTR) return;
    if (polls[1].revents != 0) return;
  }
}

/// What the packet takes on the wire. With offload a TUN packet starts with a virtio
/// header and stands for as many segments as TSO would make of it.
Link::WireSize Link::wire_size(const std::uint8_t* data, std::size_t size) const {
  if (!offload_) return {1, static_cast<std::int64_t>(size)};
  VirtioNetHeader header;
  std::memcpy(&header, data, sizeof header);
  const auto bytes = static_cast<std::int64_t>(size - sizeof header);
  const std::int64_t payload = bytes - header.hdr_len;
  if (header.gso_type == kGsoNone || header.gso_size == 0 || payload <= 0) return {1, bytes};
  const std::int64_t segments = (payload + header.gso_size - 1) / header.gso_size;
  return {segments, bytes + (segments - 1) * header.hdr_len};
}

/// Reads up to kBurst packets; true if there may be more.
bool Link::read_burst(int from, const std::atomic<bool>& is_cut) {
  for (int i = 0; i < kBurst; ++i) {
    Buffer buffer = take_buffer();
    const ssize_t size = read(from, buffer.get(), slot_size_);
    if (size <= 0) {
      spare_.push_back(std::move(buffer));
      return false;
    }
    if (is_cut) {
      ++counters_.cut;
      spare_.push_back(std::move(buffer));
    } else {
      enqueue(std::move(buffer), static_cast<std::size_t>(size));
    }
  }
  return true;
}

void Link::enqueue(Buffer buffer, std::size_t size) {
  if (options_.loss > 0 && uniform_(rng_) < options_.loss) {
    ++counters_.lost;
    spare_.push_back(std::move(buffer));
    return;
  }
  const WireSize wire = wire_size(buffer.get(), size);
  std::int64_t sent = now_ns();
  const auto wire_bytes = static_cast<double>(wire.bytes + wire.packets * options_.overhead);
  if (options_.rate_bps > 0 && !pass_queue(sent, wire_bytes, sent)) {
    ++counters_.dropped_full;
    spare_.push_back(std::move(buffer));
    return;
  }
  std::int64_t due = sent + options_.delay_ns;
  if (options_.jitter_ns > 0) {
    due += std::llround(uniform_(rng_) * static_cast<double>(options_.jitter_ns));
  }
  last_due_ = std::max(due, last_due_);  // a path that keeps order
  in_flight_.push_back({last_due_, std::move(buffer), size, wire});
}

/// Sets `sent` to when the packet has left the queue; false if the queue is full.
bool Link::pass_queue(std::int64_t now, double wire_bytes, std::int64_t& sent) {
  const std::int64_t start = std::max(now, link_free_at_);
  const auto queued =
      static_cast<std::int64_t>(static_cast<double>(start - now) * options_.rate_bps / 8e9);
  if (queued + static_cast<std::int64_t>(wire_bytes) > options_.queue_bytes) return false;
  counters_.peak_queue = std::max(counters_.peak_queue, queued);
  link_free_at_ = start + std::llround(wire_bytes * 8e9 / options_.rate_bps);
  sent = link_free_at_;
  return true;
}

void Link::deliver_due(int to) {
  while (!in_flight_.empty()) {
    Packet& packet = in_flight_.front();
    const std::int64_t late = now_ns() - packet.due;
    if (late < 0) return;
    counters_.worst_lateness_ns = std::max(counters_.worst_lateness_ns, late);
    if (write(to, packet.data.get(), packet.size) == static_cast<ssize_t>(packet.size)) {
      counters_.packets += static_cast<std::uint64_t>(packet.wire.packets);
      counters_.bytes += static_cast<std::uint64_t>(packet.wire.bytes);
    }
    spare_.push_back(std::move(packet.data));
    in_flight_.pop_front();
  }
}

Link::Buffer Link::take_buffer() {
  if (spare_.empty()) return std::make_unique_for_overwrite<std::uint8_t[]>(slot_size_);
  Buffer buffer = std::move(spare_.back());
  spare_.pop_back();
  return buffer;
}

}  // namespace towline::wanemu
