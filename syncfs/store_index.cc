#include "syncfs/store_index.h"

#include <sys/random.h>

#include <algorithm>
#include <cstring>

namespace towline::syncfs {
namespace {

constexpr std::uint64_t kIndexVersion = 1;

constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS meta(key BLOB PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS blobs(id BLOB PRIMARY KEY, pack INTEGER NOT NULL,"
    " offset INTEGER NOT NULL, size INTEGER NOT NULL, last_use INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS blobs_by_use ON blobs(last_use);"
    "CREATE INDEX IF NOT EXISTS blobs_by_pack ON blobs(pack, offset, size);";

Database open_writer(const std::filesystem::path& file) {
  Database database(file);
  database.exec("PRAGMA journal_mode=WAL");
  database.exec("PRAGMA synchronous=FULL");
  database.exec("PRAGMA journal_size_limit=67108864");
  Transaction transaction(database);
  database.exec(kSchema);
  transaction.commit();
  return database;
}

Bytes bytes_of(const BlobId& id) { return id.bytes(); }

BlobId blob_id(Bytes bytes) {
  BlobId::Bytes digest{};
  if (bytes.size() != digest.size()) {
    throw Error(Errc::corrupt, "store index: a blob id of the wrong size");
  }
  std::ranges::copy(bytes, digest.begin());
  return BlobId(digest);
}

StoreId random_id() {
  StoreId id;
  if (::getrandom(id.data(), id.size(), 0) != static_cast<ssize_t>(id.size())) {
    throw_errno("get random bytes");
  }
  return id;
}

}  // namespace

struct StoreIndex::Lookups {
  explicit Lookups(const std::filesystem::path& file) : database(file) {}

  Database database;
  Statement find{database, "SELECT pack, offset, size, last_use FROM blobs WHERE id=?"};
  bool reading = false;
};

struct StoreIndex::Writes {
  explicit Writes(const std::filesystem::path& file) : database(open_writer(file)) {}

  Database database;
  Statement meta{database, "SELECT value FROM meta WHERE key=?"};
  Statement set_meta{database, "INSERT OR REPLACE INTO meta VALUES(?,?)"};
  Statement add{database, "INSERT OR REPLACE INTO blobs VALUES(?,?,?,?,?)"};
  Statement remove{database, "DELETE FROM blobs WHERE id=?"};
  Statement use{database, "UPDATE blobs SET last_use=?2 WHERE id=?1"};
  Statement oldest{database,
                   "SELECT id, pack, offset, size, last_use FROM blobs WHERE last_use>? "
                   "ORDER BY last_use LIMIT ?"};
  Statement in_pack{database,
                    "SELECT id, pack, offset, size, last_use FROM blobs WHERE pack=?1 AND "
                    "(offset, id)>(?2, ?3) ORDER BY offset, id LIMIT ?4"};
  Statement sums{database,
                 "SELECT pack, count(*), sum(size), max(offset+size) FROM blobs GROUP BY pack"};
  Statement last_use_max{database, "SELECT max(last_use) FROM blobs"};
  Statement cut_pack{database, "DELETE FROM blobs WHERE pack=? AND offset+size>?"};
};

void StoreIndex::Free::operator()(Lookups* lookups) const noexcept { delete lookups; }
void StoreIndex::Free::operator()(Writes* writes) const noexcept { delete writes; }

StoreIndex::StoreIndex(const std::filesystem::path& file) : writes_(new Writes(file)) {
  create_or_check(file);
  lookups_.reset(new Lookups(file));
}

void StoreIndex::create_or_check(const std::filesystem::path& file) {
  Transaction transaction(writes_->database);
  const auto version = meta("version");
  if (version && *version != kIndexVersion) {
    throw Error(Errc::incompatible, file.native() + ": written by another version");
  }
  if (version) {
    StatementScope scope(writes_->meta);
    writes_->meta.bind(1, std::string_view("id"));
    if (!writes_->meta.step() || writes_->meta.bytes(0).size() != id_.size()) {
      throw Error(Errc::corrupt, file.native() + ": no store id");
    }
    std::ranges::copy(writes_->meta.bytes(0), id_.begin());
  } else {
    id_ = random_id();
    writes_->set_meta.bind(1, std::string_view("id")).bind(2, Bytes(id_)).run();
    set_meta("version", kIndexVersion);
  }
  losses_ = meta("losses").value_or(0);
  clean_ = !version || meta("clean").value_or(0) != 0;
  set_meta("clean", 0);
  transaction.commit();
}

void StoreIndex::set_meta(std::string_view key, std::uint64_t value) {
  writes_->set_meta.bind(1, key).bind(2, value).run();
}

std::optional<std::uint64_t> StoreIndex::meta(std::string_view key) {
  const StatementScope scope(writes_->meta);
  if (!writes_->meta.bind(1, key).step()) return std::nullopt;
  return writes_->meta.number(0);
}

std::optional<IndexEntry> StoreIndex::find(const BlobId& id) {
  if (!lookups_->reading) {
    lookups_->database.exec("BEGIN");
    lookups_->reading = true;
  }
  Statement& find = lookups_->find;
  const StatementScope scope(find);
  if (!find.bind(1, bytes_of(id)).step()) return std::nullopt;
  return IndexEntry{static_cast<std::uint32_t>(find.number(0)), find.number(1), find.number(2),
                    find.number(3)};
}

void StoreIndex::refresh() {
  if (!lookups_->reading) return;
  lookups_->reading = false;
  lookups_->database.exec("COMMIT");
}

void StoreIndex::commit(const IndexBatch& batch) {
  Transaction transaction(writes_->database);
  for (const BlobId& id : batch.remove) writes_->remove.bind(1, bytes_of(id)).run();
  for (const auto& [id, entry] : batch.add) {
    writes_->add.bind(1, bytes_of(id))
        .bind(2, entry.pack)
        .bind(3, entry.offset)
        .bind(4, entry.size)
        .bind(5, entry.last_use)
        .run();
  }
  for (const auto& [id, use] : batch.uses) writes_->use.bind(1, bytes_of(id)).bind(2, use).run();
  set_meta("losses", batch.losses);
  transaction.commit();
}

void StoreIndex::mark_clean() {
  Transaction transaction(writes_->database);
  set_meta("clean", 1);
  transaction.commit();
}

std::vector<IndexRow> StoreIndex::rows(Statement& statement) {
  const StatementScope scope(statement);
  std::vector<IndexRow> found;
  while (statement.step()) {
    found.emplace_back(blob_id(statement.bytes(0)),
                       IndexEntry{static_cast<std::uint32_t>(statement.number(1)),
                                  statement.number(2), statement.number(3), statement.number(4)});
  }
  return found;
}

std::vector<IndexRow> StoreIndex::oldest_after(std::uint64_t last_use, std::size_t limit) {
  return rows(writes_->oldest.bind(1, last_use).bind(2, limit));
}

std::vector<IndexRow> StoreIndex::in_pack_after(std::uint32_t pack, const IndexRow& last,
                                                std::size_t limit) {
  return rows(writes_->in_pack.bind(1, pack)
                  .bind(2, last.second.offset)
                  .bind(3, bytes_of(last.first))
                  .bind(4, limit));
}

std::vector<StoreIndex::PackSum> StoreIndex::sums() {
  Statement& statement = writes_->sums;
  const StatementScope scope(statement);
  std::vector<PackSum> found;
  while (statement.step()) {
    found.push_back({static_cast<std::uint32_t>(statement.number(0)), statement.number(1),
                     statement.number(2), statement.number(3)});
  }
  return found;
}

std::uint64_t StoreIndex::last_use_max() {
  const StatementScope scope(writes_->last_use_max);
  return writes_->last_use_max.step() ? writes_->last_use_max.number(0) : 0;
}

std::uint64_t StoreIndex::cut_pack(std::uint32_t pack, std::uint64_t end) {
  writes_->cut_pack.bind(1, pack).bind(2, end).run();
  return writes_->database.changes();
}

}  // namespace towline::syncfs
