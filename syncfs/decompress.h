#pragma once

#include "syncfs/content.h"

#include <cstdint>
#include <memory>
#include <string>

namespace towline::syncfs {

enum class BodyFormat : std::uint8_t { kIdentity, kGzip, kBzip2, kXz, kZstd };

/// Expands a body as the engine would: the format is told by its first bytes, whatever headers
/// say, and a body without a known magic goes through as it is. Streams: memory is bounded by
/// the formats' windows (xz 128 MiB, zstd 128 MiB), and by nothing of the body's length. One
/// thread at a time; throws what `out` throws.
class BodyDecompressor {
 public:
  explicit BodyDecompressor(ByteSink& out);
  ~BodyDecompressor();
  BodyDecompressor(const BodyDecompressor&) = delete;
  BodyDecompressor& operator=(const BodyDecompressor&) = delete;

  /// Throws Error(Errc::malformed) that names the format: corrupt, or something behind the end.
  void feed(Bytes bytes);
  /// End of the body. Throws as feed does, and when the body was cut off.
  void finish();

  /// kIdentity until enough has come to tell.
  BodyFormat format() const;

  /// One compressed format, without the guessing.
  class Codec {
   public:
    virtual ~Codec() = default;
    virtual void feed(Bytes bytes, ByteSink& out) = 0;
    virtual void finish(ByteSink& out) = 0;
  };

 private:
  void detect(bool ended);

  ByteSink& out_;
  std::string head_;  // until the format is told
  bool told_ = false;
  BodyFormat format_ = BodyFormat::kIdentity;
  std::unique_ptr<Codec> codec_;  // none for kIdentity
};

}  // namespace towline::syncfs
