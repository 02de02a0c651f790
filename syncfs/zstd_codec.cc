#include "syncfs/zstd_codec.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <new>

namespace towline::syncfs {
namespace {

constexpr std::size_t kPieceMax = 128 << 10;
/// Long-distance matching pays from here; below it costs tables that small groups do not need.
constexpr std::size_t kLongPrefixMin = 128 << 10;
constexpr int kWindowLogMin = 10;
constexpr int kWindowLogMax = 27;

struct FreeCompressor {
  void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
};
struct FreeDecompressor {
  void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
};
using Compressor = std::unique_ptr<ZSTD_CCtx, FreeCompressor>;
using Decompressor = std::unique_ptr<ZSTD_DCtx, FreeDecompressor>;

/// Failures here are of memory or of our own parameters.
std::size_t checked(std::size_t code, const char* what) {
  if (ZSTD_isError(code)) throw Error(Errc::no_space, std::string(what) + ": " + ZSTD_getErrorName(code));
  return code;
}

Compressor make_compressor(int level, int window_log, bool long_distance) {
  Compressor context(ZSTD_createCCtx());
  if (!context) throw std::bad_alloc();
  const auto set = [&](ZSTD_cParameter parameter, int value) {
    checked(ZSTD_CCtx_setParameter(context.get(), parameter, value), "set up compression");
  };
  set(ZSTD_c_compressionLevel, level);
  set(ZSTD_c_windowLog, window_log);
  set(ZSTD_c_enableLongDistanceMatching, long_distance ? 1 : 0);
  return context;
}

/// The smallest window in which all of prefix and data can be reached.
int window_log_for(std::size_t size) {
  return std::clamp(static_cast<int>(std::bit_width(size)), kWindowLogMin, kWindowLogMax);
}

}  // namespace

struct ZstdEncoder::State {
  Compressor context;

  void run(Bytes bytes, ZSTD_EndDirective directive, std::string& out) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    std::array<char, 16384> piece;
    for (bool is_done = false; !is_done;) {
      ZSTD_outBuffer into{piece.data(), piece.size(), 0};
      const std::size_t left =
          checked(ZSTD_compressStream2(context.get(), &into, &in, directive), "compress");
      out.append(piece.data(), into.pos);
      is_done = directive == ZSTD_e_continue ? in.pos == in.size : left == 0;
    }
  }
};

ZstdEncoder::ZstdEncoder(const Options& options)
    : state_(std::make_unique<State>(
          State{make_compressor(options.level, options.window_log, options.long_distance)})) {}

ZstdEncoder::~ZstdEncoder() = default;

void ZstdEncoder::write(Bytes bytes, std::string& out) { state_->run(bytes, ZSTD_e_continue, out); }
void ZstdEncoder::flush(std::string& out) { state_->run({}, ZSTD_e_flush, out); }
void ZstdEncoder::end(std::string& out) { state_->run({}, ZSTD_e_end, out); }

struct ZstdDecoder::State {
  Decompressor context;
  std::string piece = std::string(kPieceMax, '\0');
};

ZstdDecoder::ZstdDecoder(int window_log_max)
    : state_(std::make_unique<State>(State{Decompressor(ZSTD_createDCtx())})) {
  if (!state_->context) throw std::bad_alloc();
  checked(ZSTD_DCtx_setParameter(state_->context.get(), ZSTD_d_windowLogMax, window_log_max),
          "set up decompression");
}

ZstdDecoder::~ZstdDecoder() = default;

Result<void> ZstdDecoder::feed(Bytes bytes, ByteSink& sink) {
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  for (bool was_full = false; in.pos < in.size || was_full;) {
    ZSTD_outBuffer into{state_->piece.data(), state_->piece.size(), 0};
    const std::size_t code = ZSTD_decompressStream(state_->context.get(), &into, &in);
    if (ZSTD_isError(code)) return Errc::malformed;
    was_full = into.pos == into.size;  // there may be more behind it
    if (into.pos > 0) sink.write(std::as_bytes(std::span(state_->piece)).first(into.pos));
  }
  return {};
}

std::string zstd_with_prefix(Bytes data, Bytes prefix, int level) {
  const Compressor context = make_compressor(level, window_log_for(data.size() + prefix.size()),
                                             prefix.size() > kLongPrefixMin);
  checked(ZSTD_CCtx_refPrefix(context.get(), prefix.data(), prefix.size()), "use a prefix");
  std::string out(ZSTD_compressBound(data.size()), '\0');
  const std::size_t size = checked(
      ZSTD_compress2(context.get(), out.data(), out.size(), data.data(), data.size()), "compress");
  out.resize(size);
  return out;
}

Result<std::string> unzstd_with_prefix(Bytes frame, Bytes prefix, std::size_t size) {
  if (ZSTD_getFrameContentSize(frame.data(), frame.size()) != size) return Errc::malformed;
  const Decompressor context(ZSTD_createDCtx());
  if (!context) throw std::bad_alloc();
  checked(ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kWindowLogMax),
          "set up decompression");
  checked(ZSTD_DCtx_refPrefix(context.get(), prefix.data(), prefix.size()), "use a prefix");
  std::string out(size, '\0');
  const std::size_t made =
      ZSTD_decompressDCtx(context.get(), out.data(), out.size(), frame.data(), frame.size());
  if (ZSTD_isError(made) || made != size) return Errc::malformed;
  return out;
}

}  // namespace towline::syncfs
