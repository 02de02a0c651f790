// Every stream, in any pieces, must come back byte for byte, and its snapshot must survive an
// update. The first byte says how the rest is cut.
#include "tests/support/tar_round_trip.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace towline::syncfs;
  if (size == 0) return 0;
  const std::string_view tar(reinterpret_cast<const char*>(data) + 1, size - 1);
  test::MemoryBlobs blobs;
  const std::size_t piece = 1 + std::size_t{data[0]} * 7;
  const auto snapshot = test::split_tar(tar, blobs, {piece, 512});
  if (test::rebuild_tar(snapshot, blobs, piece) != tar) std::abort();
  const std::string update = Snapshot::encode_update(nullptr, *snapshot, 1);
  const auto applied = Snapshot::apply_update(nullptr, test::bytes_of(update), snapshot->id(),
                                              (64 << 20) + 64 * tar.size());
  if (!applied || (*applied)->members() != snapshot->members()) std::abort();
  return 0;
}
