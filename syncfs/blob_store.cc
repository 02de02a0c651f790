#include "syncfs/blob_store.h"

#include "protocol/log.h"
#include "syncfs/blob_store_impl.h"
#include "syncfs/sha256.h"

#include <algorithm>
#include <cassert>

namespace towline::syncfs {
namespace {

/// A batch of the index that is not yet on disk; with more, `put` commits by itself.
constexpr std::size_t kPendingMax = 200'000;
/// Uses that wait for a commit; later ones of other blobs are not noted (only the order of eviction
/// suffers).
constexpr std::size_t kUsedMax = 1 << 20;
/// Open packs: file descriptors are few, and opening one again is cheap.
constexpr std::size_t kOpenPacksMax = 64;
constexpr std::size_t kVerifyStep = 256 << 10;

std::uint64_t cost(const IndexEntry& entry) {
  return entry.size + (entry.pack == 0 ? kLooseHeaderSize : kPackRecordHeaderSize);
}

/// Reads everything; small content comes back in memory, so that what was compared is what will be
/// read.
std::unique_ptr<ContentSource> read_and_compare(std::unique_ptr<ContentSource> source,
                                                const BlobId& id) {
  if (source->size() < kLooseMin) {
    std::string all = read_all(*source, kLooseMin);
    if (blob_id_of(std::as_bytes(std::span(all))) != id) return nullptr;
    return std::make_unique<OwnedSource>(std::move(all));
  }
  Sha256 hash;
  std::vector<std::byte> piece(kVerifyStep);
  for (std::uint64_t at = 0; at < source->size();) {
    const auto n = std::min<std::uint64_t>(piece.size(), source->size() - at);
    source->read_at(at, std::span(piece).first(n));
    hash.update(std::span(piece).first(n));
    at += n;
  }
  return hash.finish() == id ? std::move(source) : nullptr;
}

}  // namespace

BlobStore::BlobStore(const StoreOptions& options) : impl_(std::make_unique<Impl>(options)) {}

BlobStore::~BlobStore() {
  try {
    const Impl::Turn turn(*impl_);
    impl_->commit();
    impl_->index->mark_clean();
  } catch (const std::exception& e) {  // what was flushed is safe, and nobody is left to be told
    log::error("close store {}: {}", impl_->options.dir.native(), e.what());
  }
}

const StoreId& BlobStore::id() const { return impl_->index->id(); }

bool BlobStore::has(const BlobId& id) const {
  Impl::Lock lock(impl_->mutex);
  return impl_->find(lock, id).has_value();
}

std::uint64_t BlobStore::losses() const {
  const Impl::Lock lock(impl_->mutex);
  return impl_->losses;
}

std::unique_ptr<ContentSource> BlobStore::open(const BlobId& id) const {
  Impl::Lock lock(impl_->mutex);
  const auto entry = impl_->find(lock, id);
  return entry ? impl_->source(lock, id, *entry) : nullptr;
}

std::unique_ptr<ContentSource> BlobStore::open_verified(const BlobId& id) {
  return impl_->verified(id);
}

BlobId BlobStore::put(Bytes content) {
  const BlobId id = blob_id_of(content);
  impl_->naming_the_disk([&] {
    if (content.size() < kLooseMin) return impl_->put_small(id, content);
    if (Impl::Lock lock(impl_->mutex); impl_->use_if_present(lock, id)) return;
    LooseDraft draft(impl_->options.dir / "tmp");
    draft.append(content);
    impl_->put_loose(id, draft);
  });
  return id;
}

void BlobStore::flush() {
  const Impl::Turn turn(*impl_);
  impl_->naming_the_disk([&] { impl_->commit(); });
}

void BlobStore::touch(const BlobId& id) {
  Impl::Lock lock(impl_->mutex);
  impl_->mark_used(lock, id);
}

StoreUsage BlobStore::usage() const {
  const Impl::Lock lock(impl_->mutex);
  return {impl_->bytes, impl_->options.budget_bytes, impl_->blobs};
}

BlobStore::Lease::Lease(BlobStore& store) : store_(store) {}

BlobStore::Lease::~Lease() {
  const Impl::Lock lock(store_.impl_->mutex);
  auto& leased = store_.impl_->leased;
  for (const BlobId& id : held_) {
    const auto found = leased.find(id);
    assert(found != leased.end());
    if (--found->second == 0) leased.erase(found);
  }
}

void BlobStore::Lease::add(const BlobId& id) {
  const Impl::Lock lock(store_.impl_->mutex);
  held_.push_back(id);
  ++store_.impl_->leased[id];
}

BlobStore::Impl::Turn::Turn(Impl& impl) : impl_(impl) {
  Lock lock(impl_.mutex);
  assert(impl_.turn != std::this_thread::get_id());  // a BeforeEvict that flushes waits for itself
  impl_.turn_is_free.wait(lock, [this] { return !impl_.turn; });
  impl_.turn = std::this_thread::get_id();
}

BlobStore::Impl::Turn::~Turn() {
  const Lock lock(impl_.mutex);
  impl_.turn.reset();
  impl_.turn_is_free.notify_one();
}

std::optional<IndexEntry> BlobStore::Impl::find(Lock&, const BlobId& id) {
  if (const auto found = pending.find(id); found != pending.end()) return found->second;
  if (dead.contains(id)) return std::nullopt;
  return index->find(id);
}

void BlobStore::Impl::mark_used(Lock&, const BlobId& id) {
  if (const auto found = pending.find(id); found != pending.end()) {
    found->second.last_use = ++clock;
  } else if (used.size() < kUsedMax || used.contains(id)) {
    used[id] = ++clock;
  }
}

bool BlobStore::Impl::use_if_present(Lock& lock, const BlobId& id) {
  if (!find(lock, id)) return false;
  mark_used(lock, id);
  return true;
}

std::unique_ptr<ContentSource> BlobStore::Impl::source(Lock& lock, const BlobId& id,
                                                       const IndexEntry& entry) {
  if (entry.pack != 0) return pack_file(lock, entry.pack).source(entry.offset, entry.size);
  auto opened = open_loose(loose_path(id), entry.size);
  if (!opened) {
    log::warn("drop blob {}: its file is gone or has another size", id.hex());
    drop(lock, id, entry);
  }
  return opened;
}

void BlobStore::Impl::put_small(const BlobId& id, Bytes content) {
  {
    Lock lock(mutex);
    if (use_if_present(lock, id)) return;
    append(lock, id, content, ++clock);
  }
  commit_if_many_pending();
}

void BlobStore::Impl::put_loose(const BlobId& id, LooseDraft& draft) {
  draft.seal();
  {
    Lock lock(mutex);
    if (use_if_present(lock, id)) return;
    draft.move_to(loose_path(id));
    const IndexEntry entry{0, 0, draft.size(), ++clock};
    unsynced_loose.push_back(id);
    pending[id] = entry;
    count(lock, entry, true);
  }
  commit_if_many_pending();
}

void BlobStore::Impl::append(Lock& lock, const BlobId& id, Bytes content, std::uint64_t last_use) {
  const auto record = kPackRecordHeaderSize + content.size();
  if (current_pack == 0 || packs[current_pack].end + record > options.pack_bytes_max) {
    start_pack(lock);
  }
  Pack& pack = packs[current_pack];
  const auto offset = pack_file(lock, current_pack).append(pack.end, id, content);
  pack.end += record;
  unsynced_packs.insert(current_pack);
  const IndexEntry entry{current_pack, offset, content.size(), last_use};
  pending[id] = entry;
  count(lock, entry, true);
}

void BlobStore::Impl::start_pack(Lock&) {
  const std::uint32_t number = pack_last + 1;
  pack_files.insert_or_assign(number, PackFile::create(pack_path(number)));
  pack_last = current_pack = number;
  packs[number] = {kMagicSize, 0};
  pack_was_made = true;
}

PackFile& BlobStore::Impl::pack_file(Lock&, std::uint32_t number) {
  const auto found = pack_files.find(number);
  if (found != pack_files.end()) return found->second;
  if (pack_files.size() >= kOpenPacksMax) pack_files.erase(pack_files.begin());
  return pack_files.emplace(number, PackFile::open(pack_path(number))).first->second;
}

void BlobStore::Impl::drop(Lock& lock, const BlobId& id, const IndexEntry& entry) {
  const auto now = find(lock, id);
  if (!now || !now->same_place(entry)) return;  // another thread has dropped or replaced it
  pending.erase(id);
  used.erase(id);
  dead[id] = ++losses;
  count(lock, entry, false);
  if (entry.pack == 0) remove_file(loose_path(id));
}

void BlobStore::Impl::count(Lock&, const IndexEntry& entry, bool present) {
  const std::uint64_t sign = present ? 1 : ~std::uint64_t{0};  // wraps: minus one
  bytes += sign * cost(entry);
  blobs += sign;
  if (entry.pack != 0) packs[entry.pack].live += sign * cost(entry);
}

std::unique_ptr<ContentSource> BlobStore::Impl::verified(const BlobId& id) {
  Lock lock(mutex);
  const auto entry = find(lock, id);
  if (!entry) return nullptr;
  auto opened = source(lock, id, *entry);
  if (!opened) return nullptr;
  lock.unlock();
  std::string why = "its bytes are not what was stored";
  try {
    if (auto same = read_and_compare(std::move(opened), id)) return same;
  } catch (const Error& e) {  // unreadable is as good as absent: whoever asks gets it elsewhere
    why = e.what();
  }
  log::error("drop blob {} from store {}: {}", id.hex(), options.dir.native(), why);
  lock.lock();
  drop(lock, id, *entry);
  return nullptr;
}

void BlobStore::Impl::commit_if_many_pending() {
  {
    // With the turn taken, a commit is under way, or its thread commits when it is done.
    const Lock lock(mutex);
    if (pending.size() < kPendingMax || turn) return;
  }
  const Turn mine(*this);
  commit();
}

std::filesystem::path BlobStore::Impl::pack_path(std::uint32_t number) const {
  return options.dir / "packs" / fmt::format("{:04}.pack", number);
}

std::filesystem::path BlobStore::Impl::loose_path(const BlobId& id) const {
  const std::string hex = id.hex();
  return options.dir / "blobs" / hex.substr(0, 2) / hex;
}

void BlobStore::Impl::rethrow(boost::system::error_code code, const char* what) const {
  const boost::system::error_code full(ENOSPC, boost::system::generic_category());
  if (code != Errc::no_space && code != full) throw Error(code, what);
  throw Error(Errc::no_space, fmt::format("store blob in {}: no space left on device (free some, "
                                          "or lower --store-budget)",
                                          options.dir.native()));
}

}  // namespace towline::syncfs
