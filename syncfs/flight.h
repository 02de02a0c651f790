#pragma once

#include <cstddef>
#include <cstdint>

namespace towline::syncfs {

// What both ends of a flight agree on (docs/wire.md, "Flights").

/// Content and update bytes in one record; a record is one protobuf message.
inline constexpr std::size_t kFlightPartMax = 64 << 10;
/// A whole record, a group's frame included.
inline constexpr std::size_t kFlightRecordMax = 8 << 20;
/// Of the flight's zstd stream: 32 MiB, what the receiver has to hold for each flight.
inline constexpr int kFlightWindowLog = 25;

/// Up to this size, a file with an old version goes into a group, above it as a delta of its own.
inline constexpr std::uint64_t kGroupFileMax = 2 << 20;
/// New, and also old, contents of one group.
inline constexpr std::uint64_t kGroupBytesMax = 4 << 20;
inline constexpr std::size_t kGroupFilesMax = 4096;

/// From this size a signature is worth its bytes: asked for, and kept when a shadow is evicted.
inline constexpr std::uint64_t kSignatureFileMin = 256 << 10;

/// A snapshot's update when expanded.
inline constexpr std::uint64_t kSnapshotBytesMax = 1ull << 30;

/// What a flight did, for status and logs.
struct FlightCounters {
  std::uint64_t files = 0;
  std::uint64_t content_bytes = 0;  // of the context
  std::uint64_t wire_bytes = 0;     // of the flight
  std::uint64_t blobs_reused = 0;
  std::uint64_t blobs_delta = 0;
  std::uint64_t blobs_whole = 0;
  std::uint64_t resent = 0;  // blobs the agent was thought to have
};

}  // namespace towline::syncfs
