#pragma once

#include "protocol/error.h"
#include "syncfs/snapshot.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace towline::syncfs {

/// One directory of the Merkle tree, encoded: what is said of its entries, and apart from that
/// the ids of those that have content, in the same order. docs/syncfs.md has the bytes.
struct DirectoryNode {
  BlobId id{BlobId::Bytes{}};
  std::string facts;
  std::string ids;
};

/// One entry of a node. For directories `child` is the node's id.
struct NodeEntry {
  std::string_view name;
  bool implied = false;  // a directory without a member of its own in the tar
  Entry entry;           // path is not set
  bool has_id = false;
  BlobId id{BlobId::Bytes{}};
};

/// All directory nodes of a snapshot, each once, children before parents: the root is last.
struct Tree {
  std::vector<DirectoryNode> nodes;
  std::unordered_map<BlobId, std::uint32_t> index;  // of a node by its id

  const BlobId& root() const { return nodes.back().id; }
};

inline constexpr std::size_t kTreeDepthMax = 256;

BlobId node_id(std::string_view facts, std::string_view ids);

/// Orders paths as a depth-first walk does that visits names by their bytes: '/' sorts first.
bool walks_before(std::string_view left, std::string_view right);

/// Whether a path can be in a tree: a RelPath, not the root, not too deep.
bool is_tree_path(std::string_view path);

/// `members[order[i]]`, in walk order, must be tree paths, without duplicates and without anything
/// below what is no directory.
Tree build_tree(std::span<const Member> members, std::span<const std::uint32_t> order);

/// Errc::malformed when the facts are. Views point into `facts`. Checks names; whether the node is
/// canonical shows when the tree is built again.
Result<std::vector<NodeEntry>> parse_node(std::string_view facts, std::string_view ids);

/// For every id of a node in order, whether it is a directory's. Errc::malformed as above.
Result<std::vector<bool>> ids_of_directories(std::string_view facts);

}  // namespace towline::syncfs
