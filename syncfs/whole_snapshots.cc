#include "syncfs/whole_snapshots.h"

namespace towline::syncfs {

bool WholeSnapshots::is_whole(const Snapshot& snapshot, const StoreId& owner,
                              const BlobStore& store) const {
  const std::uint64_t losses = store.losses();
  const std::lock_guard lock(mutex_);
  const auto found = losses_.find({snapshot.id(), owner});
  return found != losses_.end() && found->second == losses;
}

void WholeSnapshots::add(const Snapshot& snapshot, const StoreId& owner, const BlobStore& store) {
  const std::uint64_t losses = store.losses();
  const std::lock_guard lock(mutex_);
  if (losses_.size() >= kEntriesMax) losses_.clear();
  losses_.insert_or_assign({snapshot.id(), owner}, losses);
}

}  // namespace towline::syncfs
