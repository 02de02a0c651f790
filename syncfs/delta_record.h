#pragma once

#include "protocol/messages.pb.h"
#include "syncfs/content.h"
#include "syncfs/flight.h"

#include <cstdint>
#include <functional>
#include <string>

namespace towline::syncfs {

/// What a delta is to make, and of what.
struct DeltaTarget {
  wire::BaseRef base;
  std::string id;  // BlobId, 32 bytes
  std::uint64_t size = 0;
};

using EmitRecord = std::function<void(const wire::FlightRecord&)>;

/// Both write a delta as DeltaPart records. False when too little matches: what
/// was emitted by then ends in a part marked abandoned, and the caller sends the whole.
bool send_chunk_delta(const DeltaTarget& target, const ContentSource& content,
                      const ContentSource& old, int level, const EmitRecord& emit);
bool send_rsync_delta(const DeltaTarget& target, const ContentSource& content,
                      const std::string& signature, const EmitRecord& emit);

/// Calls back with consecutive parts of at most kFlightPartMax; an empty content has one, empty and last.
void for_each_part(const ContentSource& content, const std::function<void(Bytes, bool last)>& take);

/// Level for a group of this many new bytes: small flights are worth the most effort (delta.md of the
/// project's measurements: level 19 takes 70 ms for 0.4 MB and saves a third).
int group_level(std::uint64_t bytes);

/// Of a snapshot's update: directory nodes are small, and ids do not compress.
inline constexpr int kUpdateLevel = 9;

/// A signature as it may arrive: of a 1 TiB file at sqrt-sized blocks.
inline constexpr std::size_t kSignatureBytesMax = 64 << 20;
/// Contents above this are not worth reading again just to keep a signature.
inline constexpr std::uint64_t kSignatureContentMax = 16ull << 30;

}  // namespace towline::syncfs
