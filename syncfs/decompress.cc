#include "syncfs/decompress.h"

#include "protocol/error.h"

#include <bzlib.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <limits>
#include <new>
#include <string_view>

namespace towline::syncfs {
namespace {

constexpr std::uint64_t kXzMemoryMax = 128ull << 20;
constexpr int kZstdWindowLogMax = 27;
// What one call of a library is given at most: their counters have 32 bits.
constexpr std::size_t kPieceMax = 1 << 30;

using Buffer = std::array<char, 64 << 10>;

[[noreturn]] void malformed(const char* format, const char* what) {
  throw Error(Errc::malformed, std::string(format) + " body: " + what);
}

void give(ByteSink& out, const Buffer& buffer, std::size_t size) {
  if (size > 0) out.write(std::as_bytes(std::span(buffer.data(), size)));
}

/// gzip, of several members too.
class GzipCodec final : public BodyDecompressor::Codec {
 public:
  GzipCodec() {
    if (inflateInit2(&stream_, 16 + MAX_WBITS) != Z_OK) throw std::bad_alloc();
  }
  ~GzipCodec() override { inflateEnd(&stream_); }

  void feed(Bytes bytes, ByteSink& out) override {
    Buffer buffer;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      if (ended_ && stream_.avail_in > 0) {  // another member
        if (inflateReset(&stream_) != Z_OK) malformed("gzip", "cannot go on");
        ended_ = false;
      }
      if (ended_) return;
      stream_.next_out = reinterpret_cast<Bytef*>(buffer.data());
      stream_.avail_out = static_cast<uInt>(buffer.size());
      const int code = inflate(&stream_, Z_NO_FLUSH);
      if (code == Z_MEM_ERROR) throw std::bad_alloc();
      if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
        malformed("gzip", stream_.msg != nullptr ? stream_.msg : "corrupt");
      }
      ended_ = code == Z_STREAM_END;
      give(out, buffer, buffer.size() - stream_.avail_out);
    } while (stream_.avail_in > 0 || stream_.avail_out == 0);
  }

  void finish(ByteSink&) override {
    if (!ended_) malformed("gzip", "cut off");
  }

 private:
  z_stream stream_{};
  bool ended_ = false;
};

/// bzip2, of several streams too (as pbzip2 makes them).
class Bzip2Codec final : public BodyDecompressor::Codec {
 public:
  Bzip2Codec() { begin(); }
  ~Bzip2Codec() override { BZ2_bzDecompressEnd(&stream_); }

  void feed(Bytes bytes, ByteSink& out) override {
    Buffer buffer;
    stream_.next_in = reinterpret_cast<char*>(const_cast<std::byte*>(bytes.data()));
    stream_.avail_in = static_cast<unsigned>(bytes.size());
    do {
      if (ended_ && stream_.avail_in > 0) next();
      if (ended_) return;
      stream_.next_out = buffer.data();
      stream_.avail_out = static_cast<unsigned>(buffer.size());
      const int code = BZ2_bzDecompress(&stream_);
      if (code == BZ_MEM_ERROR) throw std::bad_alloc();
      if (code != BZ_OK && code != BZ_STREAM_END) malformed("bzip2", "corrupt");
      ended_ = code == BZ_STREAM_END;
      give(out, buffer, buffer.size() - stream_.avail_out);
    } while (stream_.avail_in > 0 || stream_.avail_out == 0);
  }

  void finish(ByteSink&) override {
    if (!ended_) malformed("bzip2", "cut off");
  }

 private:
  void begin() {
    if (BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) throw std::bad_alloc();
  }

  void next() {
    const bz_stream old = stream_;
    BZ2_bzDecompressEnd(&stream_);
    stream_ = {};
    begin();
    stream_.next_in = old.next_in;
    stream_.avail_in = old.avail_in;
    ended_ = false;
  }

  bz_stream stream_{};
  bool ended_ = false;
};

/// xz, of several streams and with padding between them too.
class XzCodec final : public BodyDecompressor::Codec {
 public:
  XzCodec() {
    if (lzma_stream_decoder(&stream_, kXzMemoryMax, LZMA_CONCATENATED) != LZMA_OK) {
      throw std::bad_alloc();
    }
  }
  ~XzCodec() override { lzma_end(&stream_); }

  void feed(Bytes bytes, ByteSink& out) override {
    stream_.next_in = reinterpret_cast<const std::uint8_t*>(bytes.data());
    stream_.avail_in = bytes.size();
    run(LZMA_RUN, out);
  }

  void finish(ByteSink& out) override {
    stream_.avail_in = 0;
    if (!run(LZMA_FINISH, out)) malformed("xz", "cut off");
  }

 private:
  // Whether the end was reached.
  bool run(lzma_action action, ByteSink& out) {
    Buffer buffer;
    do {
      stream_.next_out = reinterpret_cast<std::uint8_t*>(buffer.data());
      stream_.avail_out = buffer.size();
      const lzma_ret code = lzma_code(&stream_, action);
      if (code == LZMA_MEM_ERROR) throw std::bad_alloc();
      if (code == LZMA_MEMLIMIT_ERROR) malformed("xz", "needs more than 128 MiB of memory");
      if (code != LZMA_OK && code != LZMA_STREAM_END && code != LZMA_BUF_ERROR) {
        malformed("xz", "corrupt");
      }
      give(out, buffer, buffer.size() - stream_.avail_out);
      if (code == LZMA_STREAM_END) return true;
    } while (stream_.avail_in > 0 || stream_.avail_out == 0);
    return false;
  }

  lzma_stream stream_ = LZMA_STREAM_INIT;
};

/// zstd, of several frames too.
class ZstdCodec final : public BodyDecompressor::Codec {
 public:
  ZstdCodec() : context_(ZSTD_createDCtx()) {
    if (!context_) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kZstdWindowLogMax);
  }

  void feed(Bytes bytes, ByteSink& out) override {
    Buffer buffer;
    ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
    bool full = false;
    while (input.pos < input.size || full) {
      ZSTD_outBuffer output{buffer.data(), buffer.size(), 0};
      const std::size_t left = ZSTD_decompressStream(context_.get(), &output, &input);
      if (ZSTD_isError(left) != 0) malformed("zstd", ZSTD_getErrorName(left));
      ended_ = left == 0;
      full = output.pos == output.size && !ended_;
      give(out, buffer, output.pos);
    }
  }

  void finish(ByteSink&) override {
    if (!ended_) malformed("zstd", "cut off");
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> context_;
  bool ended_ = false;
};

struct Magic {
  BodyFormat format;
  std::string_view bytes;
};

constexpr Magic kMagics[] = {
    {BodyFormat::kGzip, {"\x1f\x8b\x08", 3}},
    {BodyFormat::kBzip2, {"BZh", 3}},
    {BodyFormat::kXz,
     {"\xfd"
      "7zXZ\0",
      6}},
    {BodyFormat::kZstd, {"\x28\xb5\x2f\xfd", 4}},
};
constexpr std::size_t kMagicMax = 6;

std::unique_ptr<BodyDecompressor::Codec> codec_of(BodyFormat format) {
  switch (format) {
    case BodyFormat::kGzip:
      return std::make_unique<GzipCodec>();
    case BodyFormat::kBzip2:
      return std::make_unique<Bzip2Codec>();
    case BodyFormat::kXz:
      return std::make_unique<XzCodec>();
    case BodyFormat::kZstd:
      return std::make_unique<ZstdCodec>();
    case BodyFormat::kIdentity:
      break;
  }
  return nullptr;
}

}  // namespace

BodyDecompressor::BodyDecompressor(ByteSink& out) : out_(out) {}

BodyDecompressor::~BodyDecompressor() = default;

// Decides as soon as no other magic can still match.
void BodyDecompressor::detect(bool ended) {
  bool possible = false;
  for (const Magic& magic : kMagics) {
    if (head_.starts_with(magic.bytes)) {
      format_ = magic.format;
      codec_ = codec_of(format_);
      told_ = true;
      return;
    }
    possible = possible || magic.bytes.starts_with(head_);
  }
  told_ = ended || !possible;
}

void BodyDecompressor::feed(Bytes bytes) {
  if (!told_) {
    const std::size_t taken = std::min(kMagicMax - head_.size(), bytes.size());
    head_.append(reinterpret_cast<const char*>(bytes.data()), taken);
    bytes = bytes.subspan(taken);
    detect(false);
    if (!told_) return;
    feed(std::as_bytes(std::span(head_)));
  }
  while (!bytes.empty()) {
    const Bytes piece = bytes.first(std::min(bytes.size(), kPieceMax));
    if (codec_) {
      codec_->feed(piece, out_);
    } else {
      out_.write(piece);
    }
    bytes = bytes.subspan(piece.size());
  }
}

void BodyDecompressor::finish() {
  if (!told_) {
    detect(true);
    if (!head_.empty()) out_.write(std::as_bytes(std::span(head_)));
  }
  if (codec_) codec_->finish(out_);
}

BodyFormat BodyDecompressor::format() const { return format_; }

}  // namespace towline::syncfs
