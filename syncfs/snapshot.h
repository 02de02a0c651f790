#pragma once

#include "protocol/error.h"
#include "syncfs/content.h"
#include "syncfs/entry.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace towline::syncfs {

/// How a member's tar header is made again: by one of the known dialects from the
/// entry and its attributes, or, where none gives the same bytes, from the bytes kept.
struct HeaderForm {
  std::uint8_t dialect = 0;  // syncfs/tar_header.h; kHeaderKept means `kept`
  std::string kept;          // all header blocks of the member, extended headers included
  std::string extra;         // what a dialect needs beyond the entry (user and group names)

  bool operator==(const HeaderForm&) const = default;
};

/// One member of a tar, in the order of the tar.
struct Member {
  Entry entry;
  Attributes attributes;
  HeaderForm header;

  bool operator==(const Member&) const = default;
};

using TreeId = BlobId;      // of the root directory node
using SnapshotId = BlobId;  // of tree, attribute vector and tar form together

/// A directory at one moment, as a value: the Merkle tree (names, types, modes,
/// link targets, xattrs, blob ids), beside it the attribute vector (uid, gid,
/// times), and the tar form (order, header dialects, kept headers, the rest after
/// the last member), so that the tar it came from can be made again byte for byte.
/// Immutable; any thread. docs/syncfs.md has the encodings.
class Snapshot {
 public:
  /// `tail`: a blob of what follows the last member (end blocks, or a rest that is
  /// no tar), or nullopt with `zeros` zero bytes.
  struct Tail {
    bool unpadded = false;  // it begins right after the last member's content, without padding
    std::uint64_t zeros = 0;
    std::optional<BlobId> rest;
    std::uint64_t rest_size = 0;

    bool operator==(const Tail&) const = default;
  };

  /// `members` are in the tar's order. Those that no tree can hold (the earlier ones of one path,
  /// a path that is no RelPath or deeper than kTreeDepthMax, what lies below a path that is no
  /// directory) count for the tar alone: find() and tree() do not know them.
  static std::shared_ptr<const Snapshot> make(std::vector<Member> members, Tail tail);

  const SnapshotId& id() const noexcept { return id_; }
  const TreeId& tree() const noexcept { return tree_; }
  const std::vector<Member>& members() const noexcept { return members_; }
  const Tail& tail() const noexcept { return tail_; }

  /// What makes `next` of `base` (nullptr: of nothing): the directory nodes, the
  /// attribute vector and the tar form that differ, compressed with those of the
  /// base that they replace as prefix. Costs bytes by the change.
  static std::string encode_update(const Snapshot* base, const Snapshot& next, int level);

  /// The inverse; checks that the outcome is `expected`. For bytes of a peer or a disk: bounded
  /// by `size_max` when expanded (count 400 bytes and the path's length a member), errors as
  /// values, never a partial snapshot.
  static Result<std::shared_ptr<const Snapshot>> apply_update(const Snapshot* base, Bytes update,
                                                              const SnapshotId& expected,
                                                              std::uint64_t size_max);

  /// Index of the file member with this path, or nullopt.
  std::optional<std::size_t> find(std::string_view path) const;

 private:
  /// The encodings that the id is made of: snapshot_parts.h.
  struct Parts;

  Snapshot() = default;

  SnapshotId id_{BlobId::Bytes{}};
  TreeId tree_{BlobId::Bytes{}};
  std::vector<Member> members_;
  Tail tail_;
  std::vector<std::uint32_t> by_path_;  // members of the tree, in walk order
  std::shared_ptr<const Parts> parts_;
};

}  // namespace towline::syncfs
