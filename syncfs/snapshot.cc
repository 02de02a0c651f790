#include "syncfs/snapshot.h"

#include "syncfs/attribute_vector.h"
#include "syncfs/sha256.h"
#include "syncfs/snapshot_parts.h"
#include "syncfs/tar_form.h"
#include "syncfs/tree.h"

#include <algorithm>

namespace towline::syncfs {
namespace {

Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

bool is_below(std::string_view path, std::string_view top) {
  return path.size() > top.size() && path[top.size()] == '/' && path.starts_with(top);
}

// Indexes of the members that the tree holds, in walk order.
std::vector<std::uint32_t> walk_of(const std::vector<Member>& members) {
  std::vector<std::uint32_t> sorted;
  sorted.reserve(members.size());
  for (std::uint32_t i = 0; i < members.size(); ++i) {
    if (is_tree_path(members[i].entry.path)) sorted.push_back(i);
  }
  const auto before = [&](std::uint32_t a, std::uint32_t b) {
    return walks_before(members[a].entry.path, members[b].entry.path);
  };
  if (!std::is_sorted(sorted.begin(), sorted.end(), before)) {
    std::stable_sort(sorted.begin(), sorted.end(), before);
  }
  std::vector<std::uint32_t> walk;
  walk.reserve(sorted.size());
  const std::string* leaf = nullptr;  // nothing of the tree may lie below it
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const Entry& entry = members[sorted[i]].entry;
    // The last member of a path is the one that an extraction leaves.
    if (i + 1 < sorted.size() && members[sorted[i + 1]].entry.path == entry.path) continue;
    if (leaf != nullptr && is_below(entry.path, *leaf)) continue;
    if (entry.type != EntryType::kDirectory) leaf = &entry.path;
    walk.push_back(sorted[i]);
  }
  return walk;
}

SnapshotId snapshot_id(const TreeId& tree, std::string_view attributes, std::string_view form) {
  static constexpr std::string_view kDomain = "towline snapshot 1\n";
  Sha256 hash;
  hash.update(bytes_of(kDomain));
  hash.update(tree.bytes());
  hash.update(blob_id_of(bytes_of(attributes)).bytes());
  hash.update(blob_id_of(bytes_of(form)).bytes());
  return hash.finish();
}

}  // namespace

std::shared_ptr<const Snapshot> Snapshot::make(std::vector<Member> members, Tail tail) {
  const std::shared_ptr<Snapshot> snapshot(new Snapshot());
  const auto parts = std::make_shared<Parts>();
  snapshot->members_ = std::move(members);
  snapshot->tail_ = tail;
  snapshot->by_path_ = walk_of(snapshot->members_);

  std::vector<Attributes> attributes;
  attributes.reserve(snapshot->by_path_.size());
  for (const std::uint32_t i : snapshot->by_path_) {
    attributes.push_back(snapshot->members_[i].attributes);
  }
  parts->tree = build_tree(snapshot->members_, snapshot->by_path_);
  parts->attributes = encode_attributes(attributes);
  parts->form = encode_form(snapshot->members_, snapshot->by_path_, tail);
  snapshot->tree_ = parts->tree.root();
  snapshot->id_ = snapshot_id(snapshot->tree_, parts->attributes, parts->form);
  snapshot->parts_ = parts;
  return snapshot;
}

std::optional<std::size_t> Snapshot::find(std::string_view path) const {
  const auto at = std::lower_bound(by_path_.begin(), by_path_.end(), path,
                                   [&](std::uint32_t i, std::string_view wanted) {
                                     return walks_before(members_[i].entry.path, wanted);
                                   });
  if (at == by_path_.end()) return std::nullopt;
  const Entry& entry = members_[*at].entry;
  if (entry.path != path || entry.type != EntryType::kFile) return std::nullopt;
  return *at;
}

}  // namespace towline::syncfs
