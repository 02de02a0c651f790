#include "syncfs/byte_codec.h"
#include "syncfs/snapshot_update.h"

#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <new>

namespace towline::syncfs {
namespace {

constexpr std::uint8_t kUpdateVersion = 1;
enum UpdateFlag : std::uint8_t { kAttributes = 1, kForm = 2 };

// A section this long pays for entropy tables of its own.
constexpr std::size_t kOwnBlockMin = 4096;
constexpr std::size_t kLongDistanceMin = 128 << 10;
constexpr int kWindowLogMax = 27;

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

void must(std::size_t code) {
  if (ZSTD_isError(code) == 0) return;
  if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation) throw std::bad_alloc();
  throw Error(Errc::unsupported, std::string("zstd: ") + ZSTD_getErrorName(code));
}

void configure(ZSTD_CCtx* context, std::uint64_t size, std::size_t prefix_size, int level) {
  must(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level));
  // Wide enough that the whole prefix stays in reach to the end.
  const int log = std::bit_width(size + prefix_size);
  must(ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, std::clamp(log, 10, kWindowLogMax)));
  if (prefix_size > kLongDistanceMin) {
    must(ZSTD_CCtx_setParameter(context, ZSTD_c_enableLongDistanceMatching, 1));
  }
  must(ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0));  // the head says it
  must(ZSTD_CCtx_setPledgedSrcSize(context, size));
}

void compress(ZSTD_CCtx* context, std::string_view in, ZSTD_EndDirective how, std::string& out) {
  char buffer[16 << 10];
  ZSTD_inBuffer input{in.data(), in.size(), 0};
  for (bool done = false; !done;) {
    ZSTD_outBuffer output{buffer, sizeof buffer, 0};
    const std::size_t left = ZSTD_compressStream2(context, &output, &input, how);
    must(left);
    out.append(buffer, output.pos);
    done = how == ZSTD_e_continue ? input.pos == input.size : left == 0;
  }
}

}  // namespace

void append_update_head(std::string& out, const UpdateHead& head) {
  out += static_cast<char>(kUpdateVersion);
  out += static_cast<char>((head.attributes ? kAttributes : 0) | (head.form ? kForm : 0));
  std::string runs;
  std::uint64_t count = 0;
  const auto& replaced = head.replaced;
  for (auto at = replaced.begin();;) {
    const auto begin = std::find(at, replaced.end(), true);
    if (begin == replaced.end()) break;
    const auto end = std::find(begin, replaced.end(), false);
    append_varint(runs, static_cast<std::uint64_t>(begin - at));
    append_varint(runs, static_cast<std::uint64_t>(end - begin));
    ++count;
    at = end;
  }
  append_varint(out, count);
  out += runs;
  append_varint(out, head.payload_size);
}

Result<UpdateHead> parse_update_head(std::string_view& rest, std::size_t base_nodes) {
  ByteReader reader(rest);
  UpdateHead head;
  if (reader.byte() != kUpdateVersion) return Errc::malformed;
  const std::uint8_t flags = reader.byte();
  if (flags > (kAttributes | kForm)) return Errc::malformed;
  head.attributes = (flags & kAttributes) != 0;
  head.form = (flags & kForm) != 0;
  head.replaced.resize(base_nodes);
  std::size_t at = 0;
  for (std::uint64_t n = reader.varint_to(base_nodes); n > 0 && !reader.failed(); --n) {
    at += static_cast<std::size_t>(reader.varint_to(base_nodes - at));
    const auto run = static_cast<std::size_t>(reader.varint_to(base_nodes - at));
    std::fill_n(head.replaced.begin() + static_cast<std::ptrdiff_t>(at), run, true);
    at += run;
  }
  head.payload_size = reader.varint();
  if (reader.failed()) return Errc::malformed;
  rest.remove_prefix(rest.size() - reader.left());
  return head;
}

std::string compress_sections(const std::vector<std::string>& sections, std::string_view prefix,
                              int level) {
  const std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  if (!context) throw std::bad_alloc();
  std::uint64_t size = 0;
  for (const std::string& section : sections) size += section.size();
  configure(context.get(), size, prefix.size(), level);
  must(ZSTD_CCtx_refPrefix(context.get(), prefix.data(), prefix.size()));
  std::string out;
  for (std::size_t i = 0; i < sections.size(); ++i) {
    const bool last = i + 1 == sections.size();
    const bool cut = !last && sections[i + 1].size() >= kOwnBlockMin;
    compress(context.get(), sections[i],
             last  ? ZSTD_e_end
             : cut ? ZSTD_e_flush
                   : ZSTD_e_continue,
             out);
  }
  return out;
}

Result<std::string> expand_sections(std::string_view frame, std::string_view prefix,
                                    std::size_t size) {
  const std::unique_ptr<ZSTD_DCtx, FreeContext> context(ZSTD_createDCtx());
  if (!context) throw std::bad_alloc();
  must(ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kWindowLogMax));
  must(ZSTD_DCtx_refPrefix(context.get(), prefix.data(), prefix.size()));
  std::string out(size, '\0');
  const std::size_t got =
      ZSTD_decompressDCtx(context.get(), out.data(), out.size(), frame.data(), frame.size());
  if (ZSTD_isError(got) != 0 || got != size) return Errc::malformed;
  return out;
}

}  // namespace towline::syncfs
