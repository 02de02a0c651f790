#include "protocol/log.h"
#include "syncfs/blob_store_impl.h"

#include <algorithm>

namespace towline::syncfs {
namespace {

// A blob that was dropped since has no file, and needs none.
void sync_loose(const std::filesystem::path& file) {
  if (std::filesystem::exists(file)) sync_path(file);
}

// In the order of the table: neighbours share its pages.
void sort(IndexBatch& batch) {
  const auto id = [](const auto& pair) -> const BlobId& { return pair.first; };
  std::ranges::sort(batch.remove);
  std::ranges::sort(batch.add, {}, id);
  std::ranges::sort(batch.uses, {}, id);
}

}  // namespace

BlobStore::Impl::Commit BlobStore::Impl::take_commit(Lock&) {
  Commit what;
  what.batch.losses = losses;
  what.dead.assign(dead.begin(), dead.end());
  for (const auto& [id, drop] : dead) what.batch.remove.push_back(id);
  what.batch.add.assign(pending.begin(), pending.end());
  what.batch.uses.assign(used.begin(), used.end());
  what.packs = std::exchange(unsynced_packs, {});
  what.loose = std::exchange(unsynced_loose, {});
  what.pack_was_made = std::exchange(pack_was_made, false);
  return what;
}

void BlobStore::Impl::commit() {
  Lock lock(mutex);
  if (pending.empty() && dead.empty() && used.empty()) return;
  Commit what = take_commit(lock);
  index->refresh();  // lest the lookups' old state keep the WAL from being reset
  lock.unlock();
  sort(what.batch);
  try {
    sync_files(what);
  } catch (const Error& e) {
    // After a failed fsync the kernel may count lost pages as written: never trust these again.
    log::error("sync store {}: {}; {} blobs dropped", options.dir.native(), e.what(),
               what.batch.add.size());
    lock.lock();
    give_up(lock, what);
    throw;
  }
  index->commit(what.batch);  // when it throws, everything stays pending for the next commit
  lock.lock();
  forget_committed(lock, what);
  index->refresh();
}

void BlobStore::Impl::sync_files(const Commit& what) {
  for (const std::uint32_t number : what.packs) {
    Lock lock(mutex);
    PackFile file = pack_file(lock, number);
    lock.unlock();
    file.sync();
  }
  if (what.pack_was_made) sync_path(options.dir / "packs");
  std::set<std::filesystem::path> directories;
  for (const BlobId& id : what.loose) {
    const auto file = loose_path(id);
    sync_loose(file);
    directories.insert(file.parent_path());
  }
  for (const auto& directory : directories) sync_path(directory);
  if (!directories.empty()) sync_path(options.dir / "blobs");
}

void BlobStore::Impl::give_up(Lock& lock, const Commit& what) {
  for (const auto& [id, entry] : what.batch.add) drop(lock, id, entry);
  current_pack = 0;  // its tail is doubtful, nothing goes behind it
}

void BlobStore::Impl::forget_committed(Lock&, const Commit& what) {
  for (const auto& [id, entry] : what.batch.add) {
    const auto found = pending.find(id);
    if (found != pending.end() && found->second == entry) pending.erase(found);
  }
  for (const auto& [id, drop] : what.dead) {
    const auto found = dead.find(id);
    if (found != dead.end() && found->second == drop) dead.erase(found);
  }
  for (const auto& [id, use] : what.batch.uses) {
    const auto found = used.find(id);
    if (found != used.end() && found->second == use) used.erase(found);
  }
}

}  // namespace towline::syncfs
