#pragma once

#include "syncfs/blob_store.h"
#include "syncfs/snapshot.h"

#include <cstdint>
#include <memory>
#include <span>

namespace towline::syncfs {

/// Makes a snapshot's tar again, in pieces, from the blobs of a store.
class TarSource {
 public:
  TarSource(std::shared_ptr<const Snapshot> snapshot, BlobStore& store);
  ~TarSource();

  /// Fills `into` as far as members [.., `until`) go (the tail counts as one more); returns the
  /// bytes written, 0 when there is no more before `until`. Throws Errc::not_found naming
  /// the path whose blob is absent. Blocks on disk.
  std::size_t read(std::span<std::byte> into, std::size_t until);
  /// As above for all of it.
  std::size_t read(std::span<std::byte> into);

  /// Members that were fully read.
  std::size_t position() const;

  /// Goes on with `next`, whose first position() members equal those read so far. Used when a build was
  /// fed ahead of its snapshot.
  void continue_with(std::shared_ptr<const Snapshot> next);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace towline::syncfs
