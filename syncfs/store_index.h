#pragma once

#include "protocol/ids.h"
#include "syncfs/blob_store.h"
#include "syncfs/sqlite.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

namespace towline::syncfs {

/// Where a blob's content is, and when it was last used (by the store's own count of uses,
/// which no clock can turn back).
struct IndexEntry {
  std::uint32_t pack = 0;  // 0: a loose file
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
  std::uint64_t last_use = 0;

  bool operator==(const IndexEntry&) const = default;

  bool same_place(const IndexEntry& other) const {
    return pack == other.pack && offset == other.offset && size == other.size;
  }
};

using IndexRow = std::pair<BlobId, IndexEntry>;

/// What one commit changes. `remove` goes before `add`: a blob may be in both.
struct IndexBatch {
  std::vector<BlobId> remove;
  std::vector<IndexRow> add;
  std::vector<std::pair<BlobId, std::uint64_t>> uses;
  std::uint64_t losses = 0;
};

/// The SQLite index of a store. Two connections, so that lookups need not wait for a commit's disk:
/// the methods under "lookups" share one mutex of the caller's, those under "writing" another.
class StoreIndex {
 public:
  /// Opens or makes it. Errc::corrupt when it is damaged; Errc::incompatible when a newer version
  /// wrote it.
  explicit StoreIndex(const std::filesystem::path& file);

  const StoreId& id() const noexcept { return id_; }
  std::uint64_t losses_at_open() const noexcept { return losses_; }
  /// Whether the last user closed it after its last commit (a new one counts).
  bool was_clean() const noexcept { return clean_; }

  // Lookups.
  std::optional<IndexEntry> find(const BlobId& id);
  /// Lookups see one state until this is called: that saves them the file locks.
  void refresh();

  // Writing.
  void commit(const IndexBatch& batch);
  void mark_clean();
  /// Rows in order of last use, those after `last_use`.
  std::vector<IndexRow> oldest_after(std::uint64_t last_use, std::size_t limit);
  /// Rows of a pack (0: loose) in order of offset and id; those after `last`.
  std::vector<IndexRow> in_pack_after(std::uint32_t pack, const IndexRow& last, std::size_t limit);

  struct PackSum {
    std::uint32_t pack = 0;
    std::uint64_t blobs = 0;
    std::uint64_t bytes = 0;  // contents
    std::uint64_t end = 0;
  };
  std::vector<PackSum> sums();
  std::uint64_t last_use_max();
  /// Removes rows of a pack whose content would end beyond `end`; returns how many.
  std::uint64_t cut_pack(std::uint32_t pack, std::uint64_t end);

 private:
  void create_or_check(const std::filesystem::path& file);
  void set_meta(std::string_view key, std::uint64_t value);
  std::optional<std::uint64_t> meta(std::string_view key);
  std::vector<IndexRow> rows(Statement& statement);

  struct Lookups;
  struct Writes;
  struct Free {
    void operator()(Lookups* lookups) const noexcept;
    void operator()(Writes* writes) const noexcept;
  };
  std::unique_ptr<Writes, Free> writes_;
  std::unique_ptr<Lookups, Free> lookups_;
  StoreId id_{};
  std::uint64_t losses_ = 0;
  bool clean_ = true;
};

}  // namespace towline::syncfs
