#include "protocol/log.h"
#include "syncfs/blob_store_impl.h"

#include <boost/lexical_cast/try_lexical_convert.hpp>

namespace towline::syncfs {
namespace {

namespace fs = std::filesystem;

/// More drops than can have been counted without being written (of those the
/// index is told at the next commit): what a crash adds, so that the count never stands
/// where a peer saw it before.
constexpr std::uint64_t kLossesOfACrash = 1ull << 32;
constexpr std::size_t kRows = 1024;

fs::path made(const fs::path& dir) {
  fs::create_directories(dir);
  fs::permissions(dir, fs::perms::owner_all);
  for (const char* part : {"packs", "blobs", "tmp"}) fs::create_directories(dir / part);
  return dir;
}

std::optional<std::uint32_t> pack_number(const fs::path& file) {
  std::uint32_t number = 0;
  if (file.extension() != ".pack") return std::nullopt;
  if (!boost::conversion::try_lexical_convert(file.stem().native(), number)) return std::nullopt;
  return number == 0 ? std::nullopt : std::optional(number);
}

std::vector<fs::path> files_below(const fs::path& dir) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    if (!entry.is_directory()) found.push_back(entry.path());
  }
  return found;
}

void remove_orphan(const fs::path& file) {
  log::info("remove {}: no blob of the store is in it", file.native());
  fs::remove(file);
}

}  // namespace

BlobStore::Impl::Impl(const StoreOptions& given)
    : options(given), directory_lock(lock_store(made(given.dir))) {
  try {
    naming_the_disk([&] {
      index = std::make_unique<StoreIndex>(options.dir / "index.db");
      recover();
    });
  } catch (const Error& e) {
    if (e.code() != Errc::corrupt) throw;
    naming_the_disk([&] { rebuild_index(e); });
  }
}

void BlobStore::Impl::recover() {
  for (const auto& file : files_below(options.dir / "tmp")) fs::remove(file);
  losses = index->losses_at_open();
  if (!index->was_clean()) losses += kLossesOfACrash;
  recover_packs();
  recover_loose();
  for (const auto& sum : index->sums()) {
    const auto headers = sum.blobs * (sum.pack == 0 ? kLooseHeaderSize : kPackRecordHeaderSize);
    blobs += sum.blobs;
    bytes += sum.bytes + headers;
    if (sum.pack != 0) packs[sum.pack].live = sum.bytes + headers;
  }
  clock = index->last_use_max();
  index->commit({{}, {}, {}, losses});
}

void BlobStore::Impl::recover_packs() {
  Lock lock(mutex);
  std::map<std::uint32_t, std::uint64_t> committed;
  for (const auto& sum : index->sums()) committed[sum.pack] = sum.end;
  committed.erase(0);
  for (const auto& file : files_below(options.dir / "packs")) {
    const auto number = pack_number(file);
    if (!number || !committed.contains(*number)) remove_orphan(file);
  }
  for (const auto& [number, end] : committed) {
    pack_last = std::max(pack_last, number);
    std::uint64_t size = 0;
    try {
      size = pack_file(lock, number).size();
    } catch (const Error& e) {  // gone or no pack: whatever the index says is in it is lost
      log::error("lose pack {} of store {}: {}", number, options.dir.native(), e.what());
      fs::remove(pack_path(number));
    }
    const auto lost = size < end ? index->cut_pack(number, size) : 0;
    losses += lost;
    if (lost > 0) log::error("lose {} blobs: {} is cut", lost, pack_path(number).native());
    if (size == 0) continue;
    if (size > end) pack_file(lock, number).truncate(end);
    packs[number] = {std::min(size, end), 0};
    current_pack = number;
  }
  index->refresh();
}

void BlobStore::Impl::recover_loose() {
  Lock lock(mutex);
  IndexBatch gone;
  IndexRow last{BlobId(BlobId::Bytes{}), {}};
  for (;;) {
    const auto rows = index->in_pack_after(0, last, kRows);
    if (rows.empty()) break;
    last = rows.back();
    for (const auto& [id, entry] : rows) {
      if (!open_loose(loose_path(id), entry.size)) gone.remove.push_back(id);
    }
  }
  for (const BlobId& id : gone.remove) log::error("lose blob {}: no such file", id.hex());
  gone.losses = losses += gone.remove.size();
  index->commit(gone);
  index->refresh();
  for (const auto& file : files_below(options.dir / "blobs")) {
    const auto id = BlobId::from_hex(file.filename().native());
    const auto entry = id ? index->find(*id) : std::nullopt;
    if (!entry || entry->pack != 0 || loose_path(*id) != file) remove_orphan(file);
  }
}

// A lost index need not cost the contents: every record and every loose file names its blob. It is
// another store from here on, as nobody knows what was lost.
void BlobStore::Impl::rebuild_index(const Error& why) {
  index.reset();
  packs.clear();
  pack_files.clear();
  current_pack = pack_last = 0;
  bytes = blobs = losses = clock = 0;
  set_database_aside(options.dir / "index.db", why);
  index = std::make_unique<StoreIndex>(options.dir / "index.db");
  for (const auto& file : files_below(options.dir / "packs")) {
    const auto number = pack_number(file);
    if (!number) continue;
    rebuild_from_pack(*number);
    commit_verified();  // each by itself: what is pending is in memory
  }
  for (const auto& file : files_below(options.dir / "blobs")) rebuild_from_loose(file);
  commit_verified();
  log::info("rebuilt the index of store {}: {} blobs", options.dir.native(), blobs);
}

void BlobStore::Impl::commit_verified() {
  std::vector<BlobId> all;
  for (const auto& [id, entry] : pending) all.push_back(id);
  for (const BlobId& id : all) verified(id);
  commit();
}

void BlobStore::Impl::rebuild_from_pack(std::uint32_t number) {
  Lock lock(mutex);
  pack_last = std::max(pack_last, number);
  try {
    const PackFile file = pack_file(lock, number);
    packs[number].end = file.size();
    file.scan([&](const PackRecord& record, std::uint64_t offset) {
      const IndexEntry entry{number, offset, record.size, ++clock};
      if (find(lock, record.id)) return;
      pending.emplace(record.id, entry);
      count(lock, entry, true);
    });
    unsynced_packs.insert(number);
  } catch (const Error& e) {
    log::error("lose pack {} of store {}: {}", number, options.dir.native(), e.what());
    packs.erase(number);
    fs::remove(pack_path(number));
  }
}

void BlobStore::Impl::rebuild_from_loose(const fs::path& file) {
  Lock lock(mutex);
  const auto id = BlobId::from_hex(file.filename().native());
  const auto bytes_there = fs::file_size(file);
  if (!id || bytes_there < kLooseHeaderSize || loose_path(*id) != file) return remove_orphan(file);
  const IndexEntry entry{0, 0, bytes_there - kLooseHeaderSize, ++clock};
  if (!open_loose(file, entry.size) || find(lock, *id)) return remove_orphan(file);
  pending.emplace(*id, entry);
  unsynced_loose.push_back(*id);
  count(lock, entry, true);
}

}  // namespace towline::syncfs
