#pragma once

#include "syncfs/blob_store.h"
#include "syncfs/snapshot.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

namespace towline::syncfs {

struct SnapshotTableOptions {
  std::uint64_t snapshots_max = 256;  // the least recently used go
  std::uint64_t loaded_members_max =
      400'000;  // of all snapshots kept in memory; one is kept in any case
  int compression_level = 3;
};

/// Which snapshots this side has. Their encodings are blobs of the store, so they may be
/// evicted, and a snapshot whose blob is gone is absent. Loaded ones are shared.
///
/// `put` does not flush the store: a snapshot survives a crash after the store's next flush.
/// A damaged table is set aside with a log line: it costs a full push. The store
/// outlives the table. Any thread. Blocks on disk: workers only. Throws Error when
/// the disk fails or is full.
class SnapshotTable {
 public:
  SnapshotTable(BlobStore& store, const std::filesystem::path& file,
                const SnapshotTableOptions& options = {});
  ~SnapshotTable();
  SnapshotTable(const SnapshotTable&) = delete;
  SnapshotTable& operator=(const SnapshotTable&) = delete;

  /// Stores it, or counts as a use when it is there. `owner`: on whose behalf; "" on the proxy.
  void put(const std::shared_ptr<const Snapshot>& snapshot, std::string_view owner = "");

  /// A use. nullptr when it is absent, or its blob is gone or corrupt: then it is no longer in the
  /// table.
  std::shared_ptr<const Snapshot> load(const SnapshotId& id);

  bool has(const SnapshotId& id) const;

  /// Whether this owner has put it.
  bool owned(const SnapshotId& id, std::string_view owner) const;

  /// At most n of an owner, the one used last first. Their blobs need not be there any more.
  std::vector<SnapshotId> recent(std::size_t n, std::string_view owner) const;

  void remove(const SnapshotId& id);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace towline::syncfs
