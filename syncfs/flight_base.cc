#include "syncfs/flight_base.h"

#include <algorithm>
#include <bit>

namespace towline::syncfs {
namespace {

/// Twins looked at for one file: enough for every `index.js` of a package to find its own.
constexpr std::size_t kTwinsMax = 64;

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

/// Leading and trailing components that two paths share: `v1/src/a/x.c` and `v2/src/a/x.c` are twins by
/// their ends, `lib/x.c` and `lib/new/x.c` by their starts.
std::size_t likeness(std::string_view a, std::string_view b) {
  const std::size_t shorter = std::min(a.size(), b.size());
  const auto front = std::mismatch(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(shorter), b.begin());
  const auto back = std::mismatch(a.rbegin(), a.rbegin() + static_cast<std::ptrdiff_t>(shorter), b.rbegin());
  return static_cast<std::size_t>(front.first - a.begin()) +
         static_cast<std::size_t>(back.first - a.rbegin());
}

bool same_size_class(std::uint64_t a, std::uint64_t b) {
  return std::abs(static_cast<int>(std::bit_width(a)) - static_cast<int>(std::bit_width(b))) <= 1;
}

bool is_filled_file(const Entry& entry) { return entry.blob && entry.size > 0; }

std::uint64_t score(std::span<const Member> members, const Snapshot& candidate) {
  std::uint64_t points = 0;
  for (const Member& member : members) {
    if (member.entry.type != EntryType::kFile) continue;
    const auto index = candidate.find(member.entry.path);
    if (!index) continue;
    const Entry& old = candidate.members()[*index].entry;
    points += old.blob == member.entry.blob && old.size > 0 ? 100 : 1;
  }
  return points;
}

}  // namespace

bool FlightBase::holds(const BlobId& id) {
  if (blobs_.empty()) {
    blobs_.reserve(snapshot_->members().size());
    for (const Member& member : snapshot_->members()) {
      if (member.entry.blob) blobs_.insert(*member.entry.blob);
    }
  }
  return blobs_.contains(id);
}

std::optional<std::size_t> FlightBase::old_version(std::string_view path, std::uint64_t size) {
  const auto& members = snapshot_->members();
  if (const auto same = snapshot_->find(path); same && is_filled_file(members[*same].entry)) {
    return same;
  }
  if (by_name_.empty()) {
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (is_filled_file(members[i].entry)) by_name_.emplace(base_name(members[i].entry.path), i);
    }
  }
  std::optional<std::size_t> best;
  std::size_t best_likeness = 0;
  std::size_t seen = 0;
  const auto [first, last] = by_name_.equal_range(base_name(path));
  for (auto twin = first; twin != last && seen < kTwinsMax; ++twin, ++seen) {
    const Entry& entry = members[twin->second].entry;
    const std::size_t like = likeness(path, entry.path);
    if (!same_size_class(size, entry.size) || (best && like <= best_likeness)) continue;
    best = twin->second;
    best_likeness = like;
  }
  return best;
}

std::shared_ptr<const Snapshot> choose_base(
    std::span<const Member> members, std::span<const std::shared_ptr<const Snapshot>> candidates) {
  std::shared_ptr<const Snapshot> best;
  std::uint64_t best_score = 0;
  for (const auto& candidate : candidates) {
    const std::uint64_t points = score(members, *candidate);
    if (points <= best_score) continue;  // the most recent comes first and wins a draw
    best = candidate;
    best_score = points;
  }
  return best;
}

}  // namespace towline::syncfs
