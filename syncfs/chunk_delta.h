#pragma once

#include "protocol/error.h"
#include "syncfs/content.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace towline::syncfs {

/// Content-defined chunks (gear rolling hash, normalised, 8 KiB on average) of one
/// content, each with its XXH3-128. Fingerprints find runs; they never prove
/// them: the receiver checks the whole outcome's SHA-256.
struct ChunkMap {
  struct Chunk {
    std::uint64_t offset;
    std::uint32_t size;
    std::uint64_t hash_low, hash_high;
  };
  std::vector<Chunk> chunks;

  std::string encode() const;  // sizes and hashes: about 20 bytes a chunk
  static Result<ChunkMap> decode(Bytes bytes);
};

ChunkMap make_chunk_map(const ContentSource& content);

/// Writes to `out` what makes `target` of a base with the chunks `base_map`:
/// copies of unchanged runs, and the rest compressed with `base`'s unmatched
/// chunks as prefix (without `base`, as plain zstd). Memory is bounded, whatever
/// the sizes: docs/syncfs.md has the format. Returns false, having perhaps
/// written something that is of no use, when so little matches that the whole
/// is cheaper (`give_up_after` bytes without a match).
bool encode_chunk_delta(const ContentSource& target, const ChunkMap& base_map,
                        const ContentSource* base, int level, ByteSink& out);

/// Applies a delta that arrives in parts. Never writes more than `target_size` bytes, never reads
/// outside `base`; bounded memory.
class ChunkDeltaDecoder {
 public:
  ChunkDeltaDecoder(const ContentSource& base, std::uint64_t target_size, ByteSink& out);
  ~ChunkDeltaDecoder();
  Result<void> feed(Bytes part);
  /// Errc::malformed unless the delta ended and gave exactly target_size bytes.
  Result<void> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace towline::syncfs
