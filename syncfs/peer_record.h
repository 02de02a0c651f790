#pragma once

#include "syncfs/blob_store.h"
#include "syncfs/snapshot.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace towline::syncfs {

/// What the proxy believes an agent to have: blobs and snapshots, by the id of the agent's store.
///
/// A belief only: the agent says what it lacks, and the record is corrected. So
/// losing it, or what was noted last, costs bytes on the wire and nothing else;
/// a damaged file is set aside with a log line. Bounded: the store used longest ago goes first,
/// then the oldest entries. Any thread (one mutex inside). Blocks on disk: workers only. Throws
/// Error when the disk fails or is full.
class PeerRecord {
 public:
  explicit PeerRecord(const std::filesystem::path& file, std::uint64_t entries_max = 8'000'000);
  ~PeerRecord();
  PeerRecord(const PeerRecord&) = delete;
  PeerRecord& operator=(const PeerRecord&) = delete;

  bool has(const StoreId& store, const BlobId& blob) const;
  void add(const StoreId& store, std::span<const BlobId> blobs);
  void remove(const StoreId& store, const BlobId& blob);

  bool has_snapshot(const StoreId& store, const SnapshotId& snapshot) const;
  void add_snapshot(const StoreId& store, const SnapshotId& snapshot);
  void remove_snapshot(const StoreId& store, const SnapshotId& snapshot);

  /// Everything about a store: it was wiped, or has lost blobs.
  void forget(const StoreId& store);

  /// Writes what was noted since. Happens by itself when much has gathered, and at the end.
  void flush();

  std::uint64_t entries() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace towline::syncfs
