#pragma once

#include "protocol/error.h"
#include "syncfs/content.h"

#include <cstdint>
#include <memory>
#include <string>

namespace towline::syncfs {

/// librsync's signature of `content`: BLAKE2, 16-byte sums, blocks of 512 bytes up to 4 MiB, then
/// max(700, sqrt(size)) rounded for use with large files.
void rsync_signature(const ContentSource& content, ByteSink& out);

/// librsync's delta of `target` against a signature. Throws Errc::malformed for a bad signature.
/// Returns false when nothing matched early and it gave up.
bool rsync_delta(Bytes signature, const ContentSource& target, ByteSink& out);

/// Applies a delta that arrives in parts: bounded memory, bounded output.
class RsyncPatch {
 public:
  RsyncPatch(const ContentSource& base, std::uint64_t target_size, ByteSink& out);
  ~RsyncPatch();
  Result<void> feed(Bytes part);
  Result<void> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace towline::syncfs
