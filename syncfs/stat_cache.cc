#include "syncfs/stat_cache.h"

#include "protocol/log.h"
#include "syncfs/sqlite.h"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <mutex>
#include <string>
#include <unordered_map>

namespace towline::syncfs {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
/// The kernel stamps files with the time of its last tick: at 100 Hz up to 10 ms ago.
constexpr std::int64_t kTick = 20'000'000;
/// File systems that keep no fractions: whole seconds, FAT two.
constexpr std::int64_t kCoarse = 2 * kSecond;

constexpr std::size_t kPendingMax = 20'000;

// The table is asked once per file of a scan: exclusive locking saves the file locks.
constexpr char kSetUp[] =
    "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
    "PRAGMA journal_size_limit=67108864; PRAGMA user_version=1;"
    "CREATE TABLE IF NOT EXISTS files(path BLOB PRIMARY KEY, size INTEGER NOT NULL,"
    " mtime INTEGER NOT NULL, ctime INTEGER NOT NULL, inode INTEGER NOT NULL,"
    " device INTEGER NOT NULL, blob BLOB NOT NULL, used INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS files_by_use ON files(used);";

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * kSecond + time.tv_nsec; }

struct Known {
  FileStat stat;
  BlobId blob;
};

struct Tables {
  explicit Tables(const std::filesystem::path& file) : database(set_up(file)) {}

  static Database set_up(const std::filesystem::path& file) {
    Database made(file);
    made.exec(kSetUp);
    return made;
  }

  Database database;
  Statement find{database,
                 "SELECT size, mtime, ctime, inode, device, blob, used FROM files WHERE path=?"};
  Statement put{database, "INSERT OR REPLACE INTO files VALUES(?,?,?,?,?,?,?,?)"};
  Statement use{database, "UPDATE files SET used=?2 WHERE path=?1"};
  Statement remove{database, "DELETE FROM files WHERE path=?"};
  Statement count{database, "SELECT count(*) FROM files"};
  Statement trim{database,
                 "DELETE FROM files WHERE path IN (SELECT path FROM files ORDER BY used LIMIT ?)"};
  Statement used_max{database, "SELECT coalesce(max(used), 0) FROM files"};
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

std::uint64_t one_number(Statement& statement) {
  const StatementScope scope(statement);
  return statement.step() ? statement.number(0) : 0;
}

}  // namespace

FileStat FileStat::of(const struct stat& from) {
  return {static_cast<std::uint64_t>(from.st_size), nanoseconds(from.st_mtim),
          nanoseconds(from.st_ctim), from.st_ino, from.st_dev};
}

bool proves_content(const FileStat& then, std::int64_t read_from_ns) {
  // Nobody can choose the ctime: without a fraction it comes from a coarse file system (or, once
  // in a while, does not, which costs a second reading).
  const std::int64_t granularity = then.ctime_ns % kSecond == 0 ? kCoarse : kTick;
  return std::max(then.mtime_ns, then.ctime_ns) < read_from_ns - granularity;
}

struct StatCache::Impl {
  using Lock = std::unique_lock<std::mutex>;

  Impl(const std::filesystem::path& where, std::uint64_t most)
      : file(where), entries_max(most), tables(open_tables(where)) {
    guarded([&] { epoch = one_number(tables->used_max) + 1; });
  }

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
      used.clear();
      count_most = 0;
    }
    return f();
  }

  std::optional<Known> lookup(const std::string& path) {
    Statement& find = tables->find;
    const StatementScope scope(find);
    if (!find.bind(1, std::string_view(path)).step()) return std::nullopt;
    BlobId::Bytes digest{};
    if (find.bytes(5).size() != digest.size()) {
      throw Error(Errc::corrupt, file.native() + ": a blob id of the wrong size");
    }
    std::ranges::copy(find.bytes(5), digest.begin());
    if (find.number(6) != epoch && used.size() < kPendingMax) used.push_back(path);
    return Known{{find.number(0), static_cast<std::int64_t>(find.number(1)),
                  static_cast<std::int64_t>(find.number(2)), find.number(3), find.number(4)},
                 BlobId(digest)};
  }

  void write_if_many() {
    if (pending.size() >= kPendingMax) guarded([&] { write(); });
  }

  void write() {
    if (pending.empty() && used.empty()) return;
    Transaction transaction(tables->database);
    for (const std::string& path : used) tables->use.bind(1, path).bind(2, epoch).run();
    for (const auto& [path, known] : pending) write_one(path, known);
    const auto after = trim();
    transaction.commit();
    count_most = after;
    pending.clear();
    used.clear();
    ++epoch;
  }

  void write_one(const std::string& path, const std::optional<Known>& known) {
    if (!known) return tables->remove.bind(1, std::string_view(path)).run();
    const FileStat& was = known->stat;
    tables->put.bind(1, std::string_view(path))
        .bind(2, was.size)
        .bind(3, static_cast<std::uint64_t>(was.mtime_ns))
        .bind(4, static_cast<std::uint64_t>(was.ctime_ns))
        .bind(5, was.inode)
        .bind(6, was.device)
        .bind(7, Bytes(known->blob.bytes()))
        .bind(8, epoch)
        .run();
  }

  // Counting reads the whole table: only when there may be too many.
  std::uint64_t trim() {
    if (count_most && *count_most + pending.size() <= entries_max) {
      return *count_most + pending.size();
    }
    const auto rows = one_number(tables->count);
    if (rows <= entries_max) return rows;
    // A tenth more than must go, so that this is rare.
    tables->trim.bind(1, rows - entries_max + entries_max / 10).run();
    return rows - tables->database.changes();
  }

  const std::filesystem::path file;
  const std::uint64_t entries_max;
  std::mutex mutex;
  std::unique_ptr<Tables> tables;
  std::unordered_map<std::string, std::optional<Known>> pending;  // nullopt: removed
  std::vector<std::string> used;                                  // rows to mark with the epoch
  std::uint64_t epoch = 1;                                        // counts writes: the age of rows
  std::optional<std::uint64_t> count_most;                        // rows are not more
};

StatCache::StatCache(const std::filesystem::path& file, std::uint64_t entries_max)
    : impl_(std::make_unique<Impl>(file, entries_max)) {}

StatCache::~StatCache() {
  try {
    flush();
  } catch (const std::exception& e) {  // only time is lost
    log::warn("close stat cache: {}", e.what());
  }
}

std::optional<BlobId> StatCache::find(std::string_view path, const FileStat& now) const {
  const Impl::Lock lock(impl_->mutex);
  const std::string key(path);
  std::optional<Known> known;
  if (const auto found = impl_->pending.find(key); found != impl_->pending.end()) {
    known = found->second;
  } else {
    known = impl_->guarded([&] { return impl_->lookup(key); });
  }
  if (!known || known->stat != now) return std::nullopt;
  return known->blob;
}

void StatCache::put(std::string_view path, const FileStat& was, const BlobId& blob,
                    std::int64_t read_from_ns) {
  if (!proves_content(was, read_from_ns)) return remove(path);
  const Impl::Lock lock(impl_->mutex);
  impl_->pending.insert_or_assign(std::string(path), Known{was, blob});
  impl_->write_if_many();
}

void StatCache::remove(std::string_view path) {
  const Impl::Lock lock(impl_->mutex);
  impl_->pending.insert_or_assign(std::string(path), std::nullopt);
  impl_->write_if_many();
}

void StatCache::flush() {
  const Impl::Lock lock(impl_->mutex);
  impl_->guarded([&] { impl_->write(); });
}

std::uint64_t StatCache::entries() const {
  const Impl::Lock lock(impl_->mutex);
  return impl_->guarded([&] {
    impl_->write();
    return one_number(impl_->tables->count);
  });
}

std::int64_t StatCache::now_ns() {
  timespec now{};
  if (::clock_gettime(CLOCK_REALTIME_COARSE, &now) != 0) throw_errno("read the clock");
  return nanoseconds(now);
}

}  // namespace towline::syncfs
