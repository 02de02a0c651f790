#pragma once

#include "protocol/error.h"
#include "syncfs/snapshot.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace towline::syncfs {

/// What makes the tar of tree and attributes: which members stand where, how their headers are
/// written, what follows the last. Members that no tree can hold (a second one of the same
/// path, "../x", the root) are in here whole: the strays.
struct TarForm {
  /// For every member in the tar's order the place of its entry in walk order, or kStray.
  std::vector<std::uint32_t> order;
  std::vector<Member> strays;       // in the tar's order; headers are in `headers`
  std::vector<HeaderForm> headers;  // of all members, in the tar's order
  Snapshot::Tail tail;
};

inline constexpr std::uint32_t kStray = UINT32_MAX;

/// `walk`: the members of the tree, in walk order.
std::string encode_form(std::span<const Member> members, std::span<const std::uint32_t> walk,
                        const Snapshot::Tail& tail);

/// `entries`: members that the tree has. Errc::malformed, or Errc::too_large for more than
/// `size_max` bytes in memory; checks that the order names each entry once.
Result<TarForm> decode_form(std::string_view bytes, std::size_t entries, std::uint64_t size_max);

}  // namespace towline::syncfs
