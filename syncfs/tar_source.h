#pragma once

#include "syncfs/content.h"
#include "syncfs/snapshot.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

namespace towline::syncfs {

/// Gives a blob's bytes, or nullptr when it is absent: BlobStore::open, or a test's map.
using OpenBlob = std::function<std::unique_ptr<ContentSource>(const BlobId&)>;

/// Makes a snapshot's tar again, in pieces, from blobs. Memory: one member's headers and what the
/// open blob takes. One thread at a time.
class TarSource {
 public:
  TarSource(std::shared_ptr<const Snapshot> snapshot, OpenBlob open);
  ~TarSource();

  /// Fills `into` as far as members [.., `until`) go (the tail counts as one more); returns the
  /// bytes written, 0 when there is no more before `until`. A member's padding goes with what comes
  /// after it. Throws Errc::not_found naming the path whose blob is absent, Errc::corrupt when a
  /// blob has another size. Blocks on disk.
  std::size_t read(std::span<std::byte> into, std::size_t until);
  /// As above for all of it.
  std::size_t read(std::span<std::byte> into);

  /// Members that were fully read.
  std::size_t position() const;

  /// Goes on with `next`, whose first position() members equal those read so far, and the one after
  /// them too if it was begun. Used when a build was fed ahead of its snapshot.
  void continue_with(std::shared_ptr<const Snapshot> next);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace towline::syncfs
