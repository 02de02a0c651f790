#include "syncfs/snapshot_table.h"

#include "protocol/log.h"
#include "syncfs/sqlite.h"

#include <algorithm>
#include <list>
#include <mutex>
#include <optional>

namespace towline::syncfs {
namespace {

/// An encoding on disk, and what it may expand to: a tree of millions of files.
constexpr std::uint64_t kEncodedMax = 1ull << 30;
constexpr std::uint64_t kExpandedMax = 2ull << 30;

constexpr char kSetUp[] =
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
    "PRAGMA user_version=1; PRAGMA foreign_keys=ON;"
    "CREATE TABLE IF NOT EXISTS snapshots(id BLOB PRIMARY KEY, blob BLOB NOT NULL,"
    " members INTEGER NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS owners(id BLOB NOT NULL REFERENCES snapshots ON DELETE CASCADE,"
    " owner BLOB NOT NULL, PRIMARY KEY(id, owner)) WITHOUT ROWID;";

struct Tables {
  explicit Tables(const std::filesystem::path& file) : database(set_up(file)) {}

  static Database set_up(const std::filesystem::path& file) {
    Database made(file);
    made.exec(kSetUp);
    return made;
  }

  Database database;
  Statement find{database, "SELECT blob FROM snapshots WHERE id=?"};
  Statement owned{database, "SELECT 1 FROM owners WHERE id=? AND owner=?"};
  Statement add{database,
                "INSERT INTO snapshots VALUES(?1, ?2, ?3,"
                " (SELECT coalesce(max(used), 0)+1 FROM snapshots))"
                " ON CONFLICT(id) DO UPDATE SET blob=?2, used=excluded.used"};
  Statement add_owner{database, "INSERT OR IGNORE INTO owners VALUES(?, ?)"};
  Statement use{database,
                "UPDATE snapshots SET used=(SELECT max(used) FROM snapshots)+1 WHERE id=?"};
  Statement remove{database, "DELETE FROM snapshots WHERE id=?"};
  Statement trim{database,
                 "DELETE FROM snapshots WHERE id IN"
                 " (SELECT id FROM snapshots ORDER BY used DESC LIMIT -1 OFFSET ?)"};
  Statement recent{database,
                   "SELECT id FROM snapshots JOIN owners USING(id) WHERE owner=?"
                   " ORDER BY used DESC LIMIT ?"};
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

BlobId id_in(Bytes bytes) {
  BlobId::Bytes digest{};
  if (bytes.size() != digest.size()) {
    throw Error(Errc::corrupt, "snapshot table: an id of the wrong size");
  }
  std::ranges::copy(bytes, digest.begin());
  return BlobId(digest);
}

}  // namespace

struct SnapshotTable::Impl {
  using Lock = std::unique_lock<std::mutex>;
  using Loaded = std::shared_ptr<const Snapshot>;

  Impl(BlobStore& blobs, const std::filesystem::path& where, const SnapshotTableOptions& given)
      : store(blobs), file(where), options(given), tables(open_tables(where)) {}

  /// Runs f on the tables, once more on empty ones when they are found damaged. With the mutex.
  template <class F>
  auto guarded(F&& f) -> decltype(f()) {
    try {
      return f();
    } catch (const Error& e) {
      if (e.code() != Errc::corrupt) throw;
      tables.reset();
      set_database_aside(file, e);
      tables = std::make_unique<Tables>(file);
    }
    return f();
  }

  std::optional<BlobId> blob_of(const SnapshotId& id) {
    const Lock lock(mutex);
    return guarded([&]() -> std::optional<BlobId> {
      const StatementScope scope(tables->find);
      if (!tables->find.bind(1, Bytes(id.bytes())).step()) return std::nullopt;
      return id_in(tables->find.bytes(0));
    });
  }

  void add(const Snapshot& snapshot, const BlobId& blob, std::string_view owner) {
    const Lock lock(mutex);
    guarded([&] {
      Transaction transaction(tables->database);
      const Bytes id(snapshot.id().bytes());
      tables->add.bind(1, id).bind(2, Bytes(blob.bytes())).bind(3, snapshot.members().size()).run();
      tables->add_owner.bind(1, id).bind(2, owner).run();
      tables->trim.bind(1, options.snapshots_max).run();
      transaction.commit();
    });
  }

  void use(const SnapshotId& id, const BlobId& blob) {
    store.touch(blob);
    const Lock lock(mutex);
    guarded([&] { tables->use.bind(1, Bytes(id.bytes())).run(); });
  }

  Loaded loaded_one(const SnapshotId& id) {
    const Lock lock(mutex);
    const auto found = std::ranges::find(loaded, id, [](const Loaded& s) { return s->id(); });
    if (found == loaded.end()) return nullptr;
    loaded.splice(loaded.begin(), loaded, found);
    return loaded.front();
  }

  void keep_loaded(const Loaded& snapshot) {
    const Lock lock(mutex);
    std::erase_if(loaded, [&](const Loaded& s) { return s->id() == snapshot->id(); });
    loaded.push_front(snapshot);
    std::uint64_t members = 0;
    for (auto it = loaded.begin(); it != loaded.end();) {
      members += (*it)->members().size();
      const bool keep = it == loaded.begin() || members <= options.loaded_members_max;
      it = keep ? std::next(it) : loaded.erase(it);
    }
  }

  void remove(const SnapshotId& id) {
    const Lock lock(mutex);
    std::erase_if(loaded, [&](const Loaded& s) { return s->id() == id; });
    guarded([&] { tables->remove.bind(1, Bytes(id.bytes())).run(); });
  }

  Loaded read(const SnapshotId& id, const BlobId& blob) {
    const auto source = store.open_verified(blob);
    if (!source || source->size() > kEncodedMax) return nullptr;
    const std::string encoded = read_all(*source, kEncodedMax);
    const auto snapshot =
        Snapshot::apply_update(nullptr, std::as_bytes(std::span(encoded)), id, kExpandedMax);
    if (snapshot) return *snapshot;
    log::error("forget snapshot {}: {}", id.hex(), snapshot.error().message());
    return nullptr;
  }

  BlobStore& store;
  const std::filesystem::path file;
  const SnapshotTableOptions options;
  std::mutex mutex;
  std::unique_ptr<Tables> tables;
  std::list<Loaded> loaded;  // the one used last first
};

SnapshotTable::SnapshotTable(BlobStore& store, const std::filesystem::path& file,
                             const SnapshotTableOptions& options)
    : impl_(std::make_unique<Impl>(store, file, options)) {}

SnapshotTable::~SnapshotTable() = default;

void SnapshotTable::put(const std::shared_ptr<const Snapshot>& snapshot, std::string_view owner) {
  auto blob = impl_->blob_of(snapshot->id());
  if (blob && impl_->store.has(*blob)) {
    impl_->store.touch(*blob);
  } else {
    const std::string encoded =
        Snapshot::encode_update(nullptr, *snapshot, impl_->options.compression_level);
    blob = impl_->store.put(std::as_bytes(std::span(encoded)));
  }
  impl_->add(*snapshot, *blob, owner);
  impl_->keep_loaded(snapshot);
}

std::shared_ptr<const Snapshot> SnapshotTable::load(const SnapshotId& id) {
  const auto blob = impl_->blob_of(id);
  if (!blob) return nullptr;
  auto snapshot = impl_->loaded_one(id);
  if (!snapshot || !impl_->store.has(*blob)) snapshot = impl_->read(id, *blob);
  if (!snapshot) {
    impl_->remove(id);
    return nullptr;
  }
  impl_->use(id, *blob);
  impl_->keep_loaded(snapshot);
  return snapshot;
}

bool SnapshotTable::has(const SnapshotId& id) const {
  const auto blob = impl_->blob_of(id);
  return blob && impl_->store.has(*blob);
}

bool SnapshotTable::owned(const SnapshotId& id, std::string_view owner) const {
  const Impl::Lock lock(impl_->mutex);
  return impl_->guarded([&] {
    Statement& owned = impl_->tables->owned;
    const StatementScope scope(owned);
    return owned.bind(1, Bytes(id.bytes())).bind(2, owner).step();
  });
}

std::vector<SnapshotId> SnapshotTable::recent(std::size_t n, std::string_view owner) const {
  const Impl::Lock lock(impl_->mutex);
  return impl_->guarded([&] {
    Statement& recent = impl_->tables->recent;
    const StatementScope scope(recent);
    recent.bind(1, owner).bind(2, n);
    std::vector<SnapshotId> found;
    while (recent.step()) found.push_back(id_in(recent.bytes(0)));
    return found;
  });
}

void SnapshotTable::remove(const SnapshotId& id) { impl_->remove(id); }

}  // namespace towline::syncfs
