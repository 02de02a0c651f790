#include "syncfs/peer_record.h"

#include "protocol/log.h"
#include "syncfs/sqlite.h"

#include <map>
#include <mutex>
#include <optional>

namespace towline::syncfs {
namespace {

/// Notes in one transaction; also what a kill loses.
constexpr std::size_t kPendingMax = 20'000;

enum class Kind : std::uint8_t { kBlob = 0, kSnapshot = 1 };

// Exclusive locking saves lookups the file locks; nobody else opens the file. Not synchronous: a
// record that a power cut tears is as good as a lost one.
constexpr char kSetUp[] =
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
    "PRAGMA journal_size_limit=67108864; PRAGMA user_version=1;"
    "CREATE TABLE IF NOT EXISTS stores(number INTEGER PRIMARY KEY, store BLOB UNIQUE NOT NULL,"
    " used INTEGER NOT NULL, entries INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS entries(seq INTEGER PRIMARY KEY, number INTEGER NOT NULL,"
    " kind INTEGER NOT NULL, id BLOB NOT NULL, UNIQUE(number, kind, id));";

struct Tables {
  explicit Tables(const std::filesystem::path& file) : database(set_up(file)) {}

  static Database set_up(const std::filesystem::path& file) {
    Database made(file);
    made.exec(kSetUp);
    return made;
  }

  Database database;
  Statement number{database, "SELECT number FROM stores WHERE store=?"};
  Statement add_store{database,
                      "INSERT INTO stores(store, used, entries) VALUES(?1,"
                      " (SELECT coalesce(max(used), 0)+1 FROM stores), 0)"};
  Statement use_store{database,
                      "UPDATE stores SET used=(SELECT max(used) FROM stores)+1, entries=entries+?2 "
                      "WHERE number=?1"};
  Statement has{database, "SELECT 1 FROM entries WHERE number=? AND kind=? AND id=?"};
  Statement add{database, "INSERT OR IGNORE INTO entries(number, kind, id) VALUES(?,?,?)"};
  Statement remove{database, "DELETE FROM entries WHERE number=? AND kind=? AND id=?"};
  Statement sum{database, "SELECT coalesce(sum(entries), 0), count(*) FROM stores"};
  Statement oldest_store{database, "SELECT number FROM stores ORDER BY used LIMIT 1"};
  Statement drop_entries{database, "DELETE FROM entries WHERE number=?"};
  Statement drop_store{database, "DELETE FROM stores WHERE number=?"};
  Statement drop_oldest{database,
                        "DELETE FROM entries WHERE seq IN (SELECT seq FROM entries ORDER BY seq "
                        "LIMIT ?)"};
};

std::unique_ptr<Tables> open_tables(const std::filesystem::path& file) {
  try {
    return std::make_unique<Tables>(file);
  } catch (const Error& e) {
    if (e.code() != Errc::corrupt) throw;
    set_database_aside(file, e);
    return std::make_unique<Tables>(file);
  }
}

using Key = std::pair<Kind, BlobId>;

}  // namespace

struct PeerRecord::Impl {
  using Lock = std::unique_lock<std::mutex>;

  Impl(const std::filesystem::path& where, std::uint64_t most)
      : file(where), entries_max(most), tables(open_tables(where)) {}

  /// Runs f on the tables, once more on empty ones when they are found damaged.
  template <class F>
  auto guarded(F&& f) -> decltype(f()) {
    try {
      return f();
    } catch (const Error& e) {
      if (e.code() != Errc::corrupt) throw;
      tables.reset();
      set_database_aside(file, e);
      tables = std::make_unique<Tables>(file);
      pending.clear();
      pending_count = 0;
    }
    return f();
  }

  std::optional<std::uint64_t> number_of(const StoreId& store) {
    const StatementScope scope(tables->number);
    if (!tables->number.bind(1, Bytes(store)).step()) return std::nullopt;
    return tables->number.number(0);
  }

  bool has(const StoreId& store, const Key& key) {
    const Lock lock(mutex);
    if (const auto noted = pending.find(store); noted != pending.end()) {
      const auto found = noted->second.find(key);
      if (found != noted->second.end()) return found->second;
    }
    return guarded([&] {
      const auto number = number_of(store);
      if (!number) return false;
      const StatementScope scope(tables->has);
      return bind_key(tables->has, *number, key).step();
    });
  }

  void note(const StoreId& store, const Key& key, bool present) {
    const Lock lock(mutex);
    if (pending[store].insert_or_assign(key, present).second) ++pending_count;
    if (pending_count >= kPendingMax) guarded([&] { write_pending(); });
  }

  void write_pending() {
    if (pending.empty()) return;
    Transaction transaction(tables->database);
    for (const auto& [store, notes] : pending) write_notes(store, notes);
    trim();
    transaction.commit();
    pending.clear();
    pending_count = 0;
  }

  void write_notes(const StoreId& store, const std::map<Key, bool>& notes) {
    auto number = number_of(store);
    if (!number) {
      tables->add_store.bind(1, Bytes(store)).run();
      number = number_of(store);
    }
    std::uint64_t change = 0;  // wraps below zero; the sum is right
    for (const auto& [key, present] : notes) {
      bind_key(present ? tables->add : tables->remove, *number, key).run();
      const auto rows = tables->database.changes();
      change += present ? rows : ~rows + 1;
    }
    tables->use_store.bind(1, *number).bind(2, change).run();
  }

  void trim() {
    for (;;) {
      const auto [entries, stores] = sums();
      if (entries <= entries_max) return;
      const StatementScope scope(tables->oldest_store);
      if (!tables->oldest_store.step()) return;
      const auto number = tables->oldest_store.number(0);
      if (stores > 1) {
        drop(number);
        continue;
      }
      // A tenth more than must go, so that this is rare.
      const auto surplus = entries - entries_max + entries_max / 10;
      tables->drop_oldest.bind(1, surplus).run();
      tables->use_store.bind(1, number).bind(2, ~tables->database.changes() + 1).run();
    }
  }

  void drop(std::uint64_t number) {
    tables->drop_entries.bind(1, number).run();
    tables->drop_store.bind(1, number).run();
  }

  std::pair<std::uint64_t, std::uint64_t> sums() {
    const StatementScope scope(tables->sum);
    tables->sum.step();
    return {tables->sum.number(0), tables->sum.number(1)};
  }

  static Statement& bind_key(Statement& statement, std::uint64_t number, const Key& key) {
    return statement.bind(1, number)
        .bind(2, static_cast<std::uint64_t>(key.first))
        .bind(3, Bytes(key.second.bytes()));
  }

  const std::filesystem::path file;
  const std::uint64_t entries_max;
  std::mutex mutex;
  std::unique_ptr<Tables> tables;
  std::map<StoreId, std::map<Key, bool>> pending;  // true: has it
  std::size_t pending_count = 0;
};

PeerRecord::PeerRecord(const std::filesystem::path& file, std::uint64_t entries_max)
    : impl_(std::make_unique<Impl>(file, entries_max)) {}

PeerRecord::~PeerRecord() {
  try {
    flush();
  } catch (const std::exception& e) {  // only knowledge is lost
    log::warn("close peer record: {}", e.what());
  }
}

bool PeerRecord::has(const StoreId& store, const BlobId& blob) const {
  return impl_->has(store, {Kind::kBlob, blob});
}

void PeerRecord::add(const StoreId& store, std::span<const BlobId> blobs) {
  for (const BlobId& blob : blobs) impl_->note(store, {Kind::kBlob, blob}, true);
}

void PeerRecord::remove(const StoreId& store, const BlobId& blob) {
  impl_->note(store, {Kind::kBlob, blob}, false);
}

bool PeerRecord::has_snapshot(const StoreId& store, const SnapshotId& snapshot) const {
  return impl_->has(store, {Kind::kSnapshot, snapshot});
}

void PeerRecord::add_snapshot(const StoreId& store, const SnapshotId& snapshot) {
  impl_->note(store, {Kind::kSnapshot, snapshot}, true);
}

void PeerRecord::remove_snapshot(const StoreId& store, const SnapshotId& snapshot) {
  impl_->note(store, {Kind::kSnapshot, snapshot}, false);
}

void PeerRecord::forget(const StoreId& store) {
  const Impl::Lock lock(impl_->mutex);
  if (const auto found = impl_->pending.find(store); found != impl_->pending.end()) {
    impl_->pending_count -= found->second.size();
    impl_->pending.erase(found);
  }
  impl_->guarded([&] {
    const auto number = impl_->number_of(store);
    if (!number) return;
    Transaction transaction(impl_->tables->database);
    impl_->drop(*number);
    transaction.commit();
  });
}

void PeerRecord::flush() {
  const Impl::Lock lock(impl_->mutex);
  impl_->guarded([&] { impl_->write_pending(); });
}

std::uint64_t PeerRecord::entries() const {
  const Impl::Lock lock(impl_->mutex);
  return impl_->guarded([&] {
    impl_->write_pending();
    return impl_->sums().first;
  });
}

}  // namespace towline::syncfs
