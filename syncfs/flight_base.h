#pragma once

#include "syncfs/snapshot.h"

#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace towline::syncfs {

/// The snapshot a flight is told against, with the look-ups that the delta choice needs. They are made
/// when first needed: an unchanged context needs none.
class FlightBase {
 public:
  explicit FlightBase(std::shared_ptr<const Snapshot> snapshot) : snapshot_(std::move(snapshot)) {}

  const Snapshot& snapshot() const { return *snapshot_; }

  /// Does any member have this content?
  bool holds(const BlobId& id);

  /// The member whose content is the likely old version of a new file: the same path, else a twin: the same
  /// base name, the longest common path, a size of the same class. Never an empty file.
  std::optional<std::size_t> old_version(std::string_view path, std::uint64_t size);

 private:
  std::shared_ptr<const Snapshot> snapshot_;
  std::unordered_set<BlobId> blobs_;
  std::unordered_multimap<std::string_view, std::size_t> by_name_;
};

/// Which of `candidates` has most in common with the members that have come so
/// far (same path and content counts far more than same path); nullptr when none has anything.
std::shared_ptr<const Snapshot> choose_base(
    std::span<const Member> members, std::span<const std::shared_ptr<const Snapshot>> candidates);

}  // namespace towline::syncfs
