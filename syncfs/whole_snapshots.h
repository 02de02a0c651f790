#pragma once

#include "syncfs/blob_store.h"
#include "syncfs/snapshot.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

namespace towline::syncfs {

/// Remembers which snapshots were seen to be whole, so that an unchanged context
/// costs no look-up per file. True only while the store has lost nothing since.
/// Any thread. Bounded: forgets all when it has grown over kEntriesMax.
class WholeSnapshots {
 public:
  /// Hold a lease on the snapshot's blobs before asking: what is whole then stays so.
  bool is_whole(const Snapshot& snapshot, const StoreId& owner, const BlobStore& store) const;
  void add(const Snapshot& snapshot, const StoreId& owner, const BlobStore& store);

 private:
  static constexpr std::size_t kEntriesMax = 4096;
  using Key = std::pair<SnapshotId, StoreId>;

  mutable std::mutex mutex_;
  std::map<Key, std::uint64_t> losses_;  // of the store when it was seen
};

}  // namespace towline::syncfs
