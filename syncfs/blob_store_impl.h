#pragma once

#include "syncfs/blob_store.h"
#include "syncfs/pack_file.h"
#include "syncfs/store_files.h"
#include "syncfs/store_index.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>

namespace towline::syncfs {

/// The state of a BlobStore, for blob_store.cc, store_open.cc, store_commit.cc, store_evict.cc and
/// spool.cc only.
///
/// The index on disk is behind by what is pending (put, not committed), dead
/// (dropped, row not yet deleted) and used; a lookup asks these first. Methods that take
/// a `Lock` need the mutex. What moves the index forward (commit, eviction,
/// compaction, check) needs the turn instead, which one thread has at a time and keeps
/// while it waits for the disk, so that lookups and puts go on meanwhile.
struct BlobStore::Impl {
  using Lock = std::unique_lock<std::mutex>;

  explicit Impl(const StoreOptions& given);

  /// The right to write the index, for the life of the object. Not with the mutex held.
  class Turn {
   public:
    explicit Turn(Impl& impl);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Impl& impl_;
  };

  struct Pack {
    std::uint64_t end = 0;   // bytes of the file
    std::uint64_t live = 0;  // of them, records (with headers) that are present blobs
  };

  // blob_store.cc
  std::optional<IndexEntry> find(Lock& lock, const BlobId& id);
  void mark_used(Lock& lock, const BlobId& id);
  bool use_if_present(Lock& lock, const BlobId& id);
  std::unique_ptr<ContentSource> source(Lock& lock, const BlobId& id, const IndexEntry& entry);
  void put_small(const BlobId& id, Bytes content);
  void put_loose(const BlobId& id, LooseDraft& draft);
  void append(Lock& lock, const BlobId& id, Bytes content, std::uint64_t last_use);
  void start_pack(Lock& lock);
  PackFile& pack_file(Lock& lock, std::uint32_t number);
  void drop(Lock& lock, const BlobId& id, const IndexEntry& entry);
  void count(Lock& lock, const IndexEntry& entry, bool present);
  std::unique_ptr<ContentSource> verified(const BlobId& id);
  void commit_if_many_pending();

  // store_open.cc
  void recover();
  void recover_packs();
  void recover_loose();
  void rebuild_index(const Error& why);
  void rebuild_from_pack(std::uint32_t number);
  void commit_verified();
  void rebuild_from_loose(const std::filesystem::path& file);

  // store_commit.cc; with the turn
  struct Commit {
    IndexBatch batch;
    std::vector<std::pair<BlobId, std::uint64_t>> dead;  // what it was when the batch was made
    std::set<std::uint32_t> packs;
    std::vector<BlobId> loose;
    bool pack_was_made = false;
  };
  void commit();
  Commit take_commit(Lock& lock);
  void sync_files(const Commit& what);
  void give_up(Lock& lock, const Commit& what);
  void forget_committed(Lock& lock, const Commit& what);

  // store_evict.cc; with the turn
  bool over_budget();
  void evict_one(const IndexRow& row, const BeforeEvict& before);
  bool may_evict(Lock& lock, const IndexRow& row);
  void compact();
  std::vector<std::uint32_t> sparse_packs();
  void move_out_of(std::uint32_t pack);
  void move_record(const IndexRow& row);

  std::filesystem::path pack_path(std::uint32_t number) const;
  std::filesystem::path loose_path(const BlobId& id) const;

  /// Runs f; a full disk is reported by the store's directory and the remedy, and what
  /// std::filesystem throws becomes an Error.
  template <class F>
  auto naming_the_disk(F&& f) -> decltype(f()) {
    try {
      return f();
    } catch (const Error& e) {
      rethrow(e.code(), e.what());
    } catch (const std::filesystem::filesystem_error& e) {
      rethrow(e.code(), e.what());
    }
  }
  [[noreturn]] void rethrow(boost::system::error_code code, const char* what) const;

  const StoreOptions options;
  const Fd directory_lock;
  std::unique_ptr<StoreIndex> index;

  std::mutex mutex;
  std::condition_variable turn_is_free;
  std::optional<std::thread::id> turn;

  std::unordered_map<BlobId, IndexEntry> pending;
  std::unordered_map<BlobId, std::uint64_t> dead;  // to which drop it was, to tell a second one
  std::unordered_map<BlobId, std::uint64_t> used;
  std::unordered_map<BlobId, std::uint32_t> leased;  // how often

  std::map<std::uint32_t, Pack> packs;
  std::map<std::uint32_t, PackFile> pack_files;  // open ones
  std::uint32_t current_pack = 0;                // 0: none
  std::uint32_t pack_last = 0;                   // the highest number that ever was, while open
  std::set<std::uint32_t> unsynced_packs;
  bool pack_was_made = false;  // since the last commit
  std::vector<BlobId> unsynced_loose;

  std::uint64_t clock = 0;  // counts uses
  std::uint64_t losses = 0;
  std::uint64_t bytes = 0;
  std::uint64_t blobs = 0;
  bool said_over_budget = false;
};

}  // namespace towline::syncfs
