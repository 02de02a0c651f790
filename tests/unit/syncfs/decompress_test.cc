#include "syncfs/decompress.h"

#include "protocol/error.h"

#include <bzlib.h>
#include <gtest/gtest.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <random>
#include <string>
#include <string_view>

namespace towline::syncfs {
namespace {

std::string gzip(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(text.size() + 1024, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

std::string bzip2(std::string_view text) {
  std::string out(text.size() * 2 + 1024, '\0');
  auto size = static_cast<unsigned>(out.size());
  EXPECT_EQ(BZ2_bzBuffToBuffCompress(out.data(), &size, const_cast<char*>(text.data()),
                                     static_cast<unsigned>(text.size()), 9, 0, 0),
            BZ_OK);
  out.resize(size);
  return out;
}

std::string xz_with(std::string_view text, std::uint32_t preset) {
  std::string out(text.size() * 2 + 1024, '\0');
  std::size_t size = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(preset, LZMA_CHECK_CRC64, nullptr,
                                    reinterpret_cast<const std::uint8_t*>(text.data()), text.size(),
                                    reinterpret_cast<std::uint8_t*>(out.data()), &size, out.size()),
            LZMA_OK);
  out.resize(size);
  return out;
}

std::string xz(std::string_view text) { return xz_with(text, 6); }

std::string zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::string expand(std::string_view body, std::size_t piece) {
  std::string out;
  StringSink sink(out);
  BodyDecompressor decompressor(sink);
  for (std::size_t at = 0; at < body.size(); at += piece) {
    decompressor.feed(std::as_bytes(std::span(body.substr(at, piece))));
  }
  decompressor.finish();
  return out;
}

std::string some_text() {
  std::string text;
  std::mt19937 random(7);
  while (text.size() < 300'000) {
    text += "line " + std::to_string(random() % 1000) + " of it\n";
    if (random() % 50 == 0) text.append(random() % 3000, '\0');
  }
  return text;
}

struct Format {
  const char* name;
  BodyFormat format;
  std::string (*compress)(std::string_view);
};
constexpr Format kFormats[] = {{"gzip", BodyFormat::kGzip, gzip},
                               {"bzip2", BodyFormat::kBzip2, bzip2},
                               {"xz", BodyFormat::kXz, xz},
                               {"zstd", BodyFormat::kZstd, zstd}};

TEST(BodyDecompressorTest, ExpandsEveryFormatAtEverySplit) {
  const std::string text = some_text();
  for (const Format& f : kFormats) {
    SCOPED_TRACE(f.name);
    const std::string body = f.compress(text);
    for (const std::size_t piece : {body.size(), std::size_t{1}, std::size_t{777}}) {
      EXPECT_TRUE(expand(body, piece) == text);
    }
    EXPECT_EQ(expand(f.compress(""), 1), "");
  }
}

TEST(BodyDecompressorTest, ExpandsSeveralStreamsInOneBody) {
  const std::string text = some_text();
  for (const Format& f : kFormats) {
    SCOPED_TRACE(f.name);
    const std::string body = f.compress(text) + f.compress("") + f.compress("the end");
    for (const std::size_t piece : {body.size(), std::size_t{1}, std::size_t{64}}) {
      EXPECT_TRUE(expand(body, piece) == text + "the end");
    }
  }
}

TEST(BodyDecompressorTest, LetsOtherBodiesThroughAsTheyAre) {
  for (const std::string_view body :
       {std::string_view(""), std::string_view("\x1f"), std::string_view("\x1f\x8b"),
        std::string_view("BZ"), std::string_view("BZip"), std::string_view("\xfd\x37zX"),
        std::string_view("Dockerfile and more"), std::string_view("\x28\xb5\x2f")}) {
    EXPECT_EQ(expand(body, 1), body);
    EXPECT_EQ(expand(body, 100), body);
  }
}

TEST(BodyDecompressorTest, RefusesDamagedBodiesNamingTheFormat) {
  const std::string text = some_text();
  for (const Format& f : kFormats) {
    const std::string body = f.compress(text);
    std::string flipped = body;
    flipped[body.size() / 2] = static_cast<char>(flipped[body.size() / 2] ^ 0x55);
    struct Case {
      const char* why;
      std::string body;
    };
    const Case cases[] = {{"cut off at the end", body.substr(0, body.size() - 1)},
                          {"cut off in the middle", body.substr(0, body.size() / 2)},
                          {"only the magic", body.substr(0, 6)},
                          {"garbage behind the end", body + "garbage!"},
                          {"corrupt", flipped}};
    for (const Case& c : cases) {
      SCOPED_TRACE(std::string(f.name) + ": " + c.why);
      // zstd frames without a checksum may expand to other bytes, which the tar layer is to find.
      if (f.format == BodyFormat::kZstd && c.body == flipped) continue;
      try {
        expand(c.body, 1000);
        ADD_FAILURE() << "accepted";
      } catch (const Error& e) {
        EXPECT_EQ(e.code(), Errc::malformed);
        EXPECT_NE(std::string(e.what()).find(f.name), std::string::npos) << e.what();
      }
    }
  }
}

TEST(BodyDecompressorTest, BoundsTheMemoryThatABodyAsksFor) {
  const std::string big_window = [] {
    // A frame header that asks for a window of 2 GiB (descriptor 21 << 3), then one raw block.
    return std::string("\x28\xb5\x2f\xfd\x00\xa8\x09\x00\x00x", 10);
  }();
  EXPECT_THROW(expand(big_window, 100), Error);
  // Preset 9e has a dictionary of 64 MiB: the limit must let it pass.
  EXPECT_EQ(expand(xz_with("text", 9 | LZMA_PRESET_EXTREME), 1), "text");
}

TEST(BodyDecompressorTest, StreamsABombInBoundedPieces) {
  struct Counter final : ByteSink {
    void write(Bytes bytes) override {
      total += bytes.size();
      largest = std::max(largest, bytes.size());
      if (total > (4u << 20)) throw Error(Errc::too_large, "enough");
    }
    std::size_t total = 0;
    std::size_t largest = 0;
  };
  const std::string zeros(16 << 20, '\0');
  for (const Format& f : kFormats) {
    SCOPED_TRACE(f.name);
    Counter counter;
    BodyDecompressor decompressor(counter);
    const std::string body = f.compress(zeros);
    EXPECT_THROW(decompressor.feed(std::as_bytes(std::span(body))), Error);
    EXPECT_EQ(decompressor.format(), f.format);
    EXPECT_LE(counter.largest, 64u << 10);
  }
}

}  // namespace
}  // namespace towline::syncfs
