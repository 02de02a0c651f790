#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace towline {

// Every bound that both sides must agree on or that keeps memory bounded, with its reason.

/// Unacknowledged bytes a direction of a resumable stream keeps; the writer waits when it is full.
inline constexpr std::size_t kReplayBufferMax = 8 << 20;
/// Received bytes after which an acknowledgement goes alone.
inline constexpr std::size_t kAckBytes = 256 << 10;
/// Or this long after a byte that was not acknowledged.
inline constexpr std::chrono::milliseconds kAckDelay{1000};

/// HTTP/2 receive window of a stream from the first byte: 80 Mbit/s at 100 ms.
inline constexpr std::int32_t kStreamWindow = 1 << 20;
/// Of a bulk stream (a flight).
inline constexpr std::int32_t kBulkStreamWindow = 16 << 20;
inline constexpr std::uint32_t kConcurrentStreamsMax = 10'000;

/// A message of messages.proto on a stream.
inline constexpr std::size_t kMessageMax = 4 << 20;
/// What may be framed as a message at all: records inside a flight may be larger.
inline constexpr std::size_t kFramedMessageMax = 16 << 20;

/// An HTTP/1 head from a docker client or the engine: Go's own limit.
inline constexpr std::uint32_t kHttpHeadMax = 1 << 20;

inline constexpr std::chrono::seconds kHandshakeTimeout{10};
/// A dead peer is found within this on an idle link.
inline constexpr std::chrono::seconds kKeepAlive{10};
inline constexpr std::chrono::seconds kGraceDefault{600};

inline constexpr std::uint32_t kProtocolMin = 1;
inline constexpr std::uint32_t kProtocolMax = 1;

}  // namespace towline
