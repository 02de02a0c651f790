#include "protocol/log.h"
#include "syncfs/blob_store_impl.h"
#include "syncfs/sha256.h"

#include <algorithm>

namespace towline::syncfs {
namespace {

constexpr std::size_t kRows = 256;  // looked at per step

}  // namespace

void BlobStore::evict(const BeforeEvict& before) {
  const Impl::Turn turn(*impl_);
  impl_->naming_the_disk([&] { impl_->commit(); });  // so that the rows know every blob and use
  std::uint64_t seen = 0;
  while (impl_->over_budget()) {
    const auto rows = impl_->index->oldest_after(seen, kRows);
    if (rows.empty()) break;
    for (const IndexRow& row : rows) {
      if (!impl_->over_budget()) break;
      impl_->evict_one(row, before);
    }
    seen = rows.back().second.last_use;
  }
  impl_->naming_the_disk([&] { impl_->commit(); });
  impl_->compact();
  const bool over = impl_->over_budget();
  if (over && !impl_->said_over_budget) {
    log::warn("store {} is over its budget: everything in it is in use",
              impl_->options.dir.native());
  }
  impl_->said_over_budget = over;
}

std::vector<BlobId> BlobStore::check() {
  const Impl::Turn turn(*impl_);
  impl_->naming_the_disk([&] { impl_->commit(); });
  std::vector<std::uint32_t> numbers;
  for (const auto& sum : impl_->index->sums()) numbers.push_back(sum.pack);
  std::vector<BlobId> corrupt;
  for (const std::uint32_t number : numbers) {
    IndexRow last{BlobId(BlobId::Bytes{}), {}};
    for (;;) {
      const auto rows = impl_->index->in_pack_after(number, last, kRows);
      if (rows.empty()) break;
      last = rows.back();
      for (const auto& [id, entry] : rows) {
        if (has(id) && !open_verified(id)) corrupt.push_back(id);
      }
    }
  }
  impl_->naming_the_disk([&] { impl_->commit(); });
  return corrupt;
}

bool BlobStore::Impl::over_budget() {
  const Lock lock(mutex);
  return bytes > options.budget_bytes;
}

bool BlobStore::Impl::may_evict(Lock& lock, const IndexRow& row) {
  if (leased.contains(row.first) || used.contains(row.first)) return false;
  return find(lock, row.first) == row.second;
}

void BlobStore::Impl::evict_one(const IndexRow& row, const BeforeEvict& before) {
  const auto& [id, entry] = row;
  Lock lock(mutex);
  if (!may_evict(lock, row)) return;
  if (before) {
    const auto content = source(lock, id, entry);
    if (!content) return;
    lock.unlock();
    before(id, *content);
    lock.lock();
    if (!may_evict(lock, row)) return;
  }
  drop(lock, id, entry);
}

std::vector<std::uint32_t> BlobStore::Impl::sparse_packs() {
  Lock lock(mutex);
  std::vector<std::pair<std::uint64_t, std::uint32_t>> found;
  for (const auto& [number, pack] : packs) {
    if (pack.live * 2 >= pack.end - kMagicSize) continue;
    // The one that is written to is worth it only when it has grown: else every eviction would
    // copy.
    if (number == current_pack && pack.end < options.pack_bytes_max / 16) continue;
    found.emplace_back(pack.live, number);
  }
  std::ranges::sort(found);  // those that cost nothing first: the disk may be full
  std::vector<std::uint32_t> numbers;
  for (const auto& [live, number] : found) numbers.push_back(number);
  if (std::ranges::find(numbers, current_pack) != numbers.end()) current_pack = 0;
  return numbers;
}

void BlobStore::Impl::compact() {
  const auto numbers = sparse_packs();
  try {
    if (!numbers.empty())
      commit();  // puts that came meanwhile: from here on the rows know all of these packs
    for (const std::uint32_t number : numbers) move_out_of(number);
  } catch (const Error& e) {
    if (e.code() != Errc::no_space) throw;
    // Space was wanted to gain space. The packs are as good as they were; the next eviction tries
    // again.
    log::warn("compact store {}: {}", options.dir.native(), e.what());
  }
}

void BlobStore::Impl::move_out_of(std::uint32_t pack) {
  IndexRow last{BlobId(BlobId::Bytes{}), {}};
  for (;;) {
    const auto rows = index->in_pack_after(pack, last, kRows);
    if (rows.empty()) break;
    last = rows.back();
    for (const IndexRow& row : rows) move_record(row);
  }
  commit();
  const Lock lock(mutex);
  packs.erase(pack);
  pack_files.erase(pack);
  remove_file(pack_path(pack));
}

void BlobStore::Impl::move_record(const IndexRow& row) {
  const auto& [id, entry] = row;
  const auto still_there = [&](Lock& lock) {
    const auto now = find(lock, id);
    return now && now->same_place(entry);
  };
  if (const Lock lock(mutex); dead.contains(id)) return;
  const auto content =
      verified(id);  // in memory: it is small. Not moved when it is corrupt, but dropped
  Lock lock(mutex);
  if (!content || !still_there(lock)) return;
  const auto waiting = used.find(id);
  const auto last_use = waiting != used.end() ? waiting->second : entry.last_use;
  append(lock, id, content->view(), last_use);
  used.erase(id);
  count(lock, entry, false);
}

}  // namespace towline::syncfs
