#pragma once

#include "protocol/ids.h"
#include "syncfs/content.h"

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace towline::syncfs {

struct StoreOptions {
  std::filesystem::path dir;
  std::uint64_t budget_bytes = 20ull << 30;
  std::uint64_t pack_bytes_max = 256ull
                                 << 20;  // a pack that would grow beyond is followed by a new one
};

using StoreId = std::array<std::byte, 16>;

struct StoreUsage {
  std::uint64_t bytes = 0;
  std::uint64_t budget_bytes = 0;
  std::uint64_t blobs = 0;
};

/// Immutable byte strings on disk, named by BlobId. docs/store-format.md is the authority.
///
/// A blob is either absent or complete and verified. Small blobs go to
/// append-only packs, large ones are loose files; the index is SQLite. What
/// `flush` has returned for survives a kill -9 and a power cut; what came after
/// the last flush may be lost, never torn: a blob whose bytes are not those of
/// its id is found on reading (`open_verified`), dropped, and then absent.
///
/// Any thread may call any method (one mutex inside, never held while calling
/// out). Every method blocks on disk, so workers only. Methods throw Error:
/// Errc::no_space when the disk is full, naming the directory and the remedy.
class BlobStore {
 public:
  /// Opens the store, making it where there is none; takes a lock so that a
  /// second opener fails with Errc::conflict. Drops half-written rests.
  explicit BlobStore(const StoreOptions& options);
  ~BlobStore();
  BlobStore(const BlobStore&) = delete;
  BlobStore& operator=(const BlobStore&) = delete;

  /// Random, made with the store: one that was wiped has another.
  const StoreId& id() const;

  bool has(const BlobId& id) const;

  /// How many times blobs were evicted or dropped since the store was made: while it stands still,
  /// what was present is still present.
  std::uint64_t losses() const;

  /// Readable even if the blob is evicted later; nullptr when absent.
  std::unique_ptr<ContentSource> open(const BlobId& id) const;

  /// As open, but reads all of it first and compares: a blob that fails is dropped, logged and absent.
  std::unique_ptr<ContentSource> open_verified(const BlobId& id);

  /// Stores bytes; a no-op (that counts as a use) when they are there. Returns their id.
  BlobId put(Bytes content);

  /// Stores content that comes piece by piece and whose size is not known. Memory
  /// up to kSpoolMemoryMax, then an unlinked temporary file in the store.
  class Spool final : public ByteSink {
   public:
    explicit Spool(BlobStore& store);
    ~Spool() override;
    Spool(const Spool&) = delete;
    Spool& operator=(const Spool&) = delete;
    void write(Bytes bytes) override;
    /// Ends the content; after it the two below may be called. Call once.
    const BlobId& finish();
    /// The bytes, in memory or in the temporary file. Valid while the spool lives.
    const ContentSource& content() const;
    /// Makes the finished content a blob of the store. Without it, the content is let go.
    void commit();

   private:
    struct State;
    std::unique_ptr<State> state_;
  };
  static constexpr std::size_t kSpoolMemoryMax = 1 << 20;

  /// fsyncs what was put since the last flush and commits the index.
  void flush();

  /// While it lives, the blobs that it holds are not evicted. Copy-free, cheap to add to.
  class Lease {
   public:
    explicit Lease(BlobStore& store);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    void add(const BlobId& id);

   private:
    BlobStore& store_;
    std::vector<BlobId> held_;
  };

  /// Marks a use (for eviction by last use). Cheap; written back at the next flush.
  void touch(const BlobId& id);

  /// Evicts the least recently used blobs, none that a lease holds, until the
  /// store is within its budget. `before` sees each victim first, while it is
  /// still readable (the proxy keeps a signature of it). Called after flights.
  /// `before` may look up, open and put, but not flush, evict or check.
  using BeforeEvict = std::function<void(const BlobId&, const ContentSource&)>;
  void evict(const BeforeEvict& before = {});

  StoreUsage usage() const;

  /// Reads and compares every blob; returns the ids that were corrupt (dropped).
  std::vector<BlobId> check();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace towline::syncfs
