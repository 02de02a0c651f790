#pragma once

#include "protocol/error.h"
#include "syncfs/tree.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace towline::syncfs {

/// What an update says in clear before its zstd frame, and the payload in that frame.
/// docs/syncfs.md, "Snapshot updates", is the authority.
struct UpdateHead {
  /// Which nodes of the base, counted in its order, are not in the next tree: (skip, run) pairs.
  std::vector<bool> replaced;
  bool attributes = false;  // whether the payload has them
  bool form = false;
  std::uint64_t payload_size = 0;
};

void append_update_head(std::string& out, const UpdateHead& head);
/// Leaves the frame in `rest`. `base_nodes` bounds the pairs.
Result<UpdateHead> parse_update_head(std::string_view& rest, std::size_t base_nodes);

/// One zstd frame of the sections, one behind the other, with `prefix` as what came before.
std::string compress_sections(const std::vector<std::string>& sections, std::string_view prefix,
                              int level);
/// Exactly `size` bytes, or Errc::malformed.
Result<std::string> expand_sections(std::string_view frame, std::string_view prefix,
                                    std::size_t size);

/// Finds a node by its id, or gives nullptr.
using FindNode = std::function<const DirectoryNode*(const BlobId&)>;

/// The members of the tree below `root`, in walk order: entries alone. Errc::malformed for a node
/// that is missing or broken or too deep; Errc::too_large beyond `size_max` bytes in memory.
Result<std::vector<Entry>> expand_tree(const BlobId& root, const FindNode& find,
                                       std::uint64_t size_max);

}  // namespace towline::syncfs
