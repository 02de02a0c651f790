#include "syncfs/tar_source.h"

#include "protocol/error.h"
#include "syncfs/tar_dialect.h"
#include "tests/support/tar_round_trip.h"

#include <gtest/gtest.h>

namespace towline::syncfs {
namespace {

using test::MemoryBlobs;

Member file(MemoryBlobs& blobs, const std::string& path, const std::string& content) {
  Member m;
  m.entry.path = path;
  m.entry.mode = 0644;
  m.entry.size = content.size();
  m.entry.blob = blobs.put(content);
  m.header.dialect = kGoUstar;
  return m;
}

std::string read_to(TarSource& source, std::size_t until, std::size_t piece) {
  std::string out;
  std::string buffer(piece, '\0');
  for (;;) {
    const std::size_t got = source.read(std::as_writable_bytes(std::span(buffer)), until);
    if (got == 0) return out;
    out.append(buffer, 0, got);
  }
}

Errc error_of(TarSource& source, std::string& what) {
  std::string buffer(1 << 20, '\0');
  try {
    source.read(std::as_writable_bytes(std::span(buffer)));
  } catch (const Error& e) {
    what = e.what();
    return static_cast<Errc>(e.code().value());
  }
  ADD_FAILURE() << "no error";
  return Errc::denied;
}

TEST(TarSourceTest, NamesThePathWhoseBlobIsAbsentOrOfAnotherSize) {
  MemoryBlobs blobs;
  const Member good = file(blobs, "good", "content");
  Member absent = file(blobs, "dir/absent", "gone");
  blobs.drop(*absent.entry.blob);
  Member unknown = file(blobs, "dir/unknown", "xx");
  unknown.entry.blob.reset();
  Member wrong = file(blobs, "dir/wrong", "long");
  wrong.entry.size = 3;
  Member unwritable = file(blobs, std::string(300, 'n'), "");
  struct Case {
    const char* why;
    Member member;
    Errc code;
  };
  const Case cases[] = {{"absent", absent, Errc::not_found},
                        {"no id", unknown, Errc::not_found},
                        {"wrong size", wrong, Errc::corrupt},
                        {"no such ustar header", unwritable, Errc::malformed}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    TarSource source(Snapshot::make({good, c.member}, {}), blobs.opener());
    std::string what;
    EXPECT_EQ(error_of(source, what), c.code);
    EXPECT_NE(what.find(c.member.entry.path), std::string::npos) << what;
  }
  TarSource source(
      Snapshot::make({good},
                     {.unpadded = false, .zeros = 0, .rest = absent.entry.blob, .rest_size = 4}),
      blobs.opener());
  std::string what;
  EXPECT_EQ(error_of(source, what), Errc::not_found);
}

TEST(TarSourceTest, AnEmptyFileNeedsNoBlob) {
  MemoryBlobs blobs;
  Member empty = file(blobs, "empty", "");
  blobs.drop(*empty.entry.blob);
  const auto snapshot = Snapshot::make({empty}, {});
  EXPECT_EQ(test::rebuild_tar(snapshot, blobs).size(), 512u);
}

TEST(TarSourceTest, ReadsAsFarAsItIsToldAndGoesOnWithAnotherSnapshot) {
  MemoryBlobs blobs;
  Member directory;
  directory.entry.path = "d";
  directory.entry.type = EntryType::kDirectory;
  directory.header.dialect = kGoUstar;
  const Member a = file(blobs, "d/a", "first");
  const Member b = file(blobs, "d/b", std::string(700, 'b'));
  const Member c = file(blobs, "d/c", "third");
  const Snapshot::Tail plain{.unpadded = false, .zeros = 1024, .rest = {}, .rest_size = 0};
  const Snapshot::Tail unpadded{.unpadded = true, .zeros = 0, .rest = {}, .rest_size = 0};
  const auto begun = Snapshot::make({directory, a, b}, plain);
  for (const auto& whole :
       {Snapshot::make({directory, a, b, c}, plain), Snapshot::make({directory, a, b}, unpadded),
        Snapshot::make({directory, a, c}, plain), Snapshot::make({directory, a}, unpadded)}) {
    for (const std::size_t piece : {1u, 100u, 100'000u}) {
      TarSource source(begun, blobs.opener());
      std::string out = read_to(source, 0, piece);
      EXPECT_EQ(out, "");
      EXPECT_EQ(source.position(), 0u);
      out += read_to(source, 1, piece);
      EXPECT_EQ(out.size(), 512u);
      EXPECT_EQ(source.position(), 1u);
      out += read_to(source, 2, piece);
      EXPECT_EQ(out.size(), 512u + 512u + 5u);
      EXPECT_EQ(source.position(), 2u);
      source.continue_with(whole);
      out += read_to(source, SIZE_MAX, piece);
      EXPECT_EQ(source.position(), whole->members().size());
      EXPECT_TRUE(out == test::rebuild_tar(whole, blobs));
    }
  }
}

TEST(TarSourceTest, AMemberIsReadWhenItsLastByteIs) {
  MemoryBlobs blobs;
  TarSource source(Snapshot::make({file(blobs, "a", "12345"), file(blobs, "b", "")}, {}),
                   blobs.opener());
  std::string buffer(2000, '\0');
  const auto read = [&](std::size_t size) {
    return source.read(std::as_writable_bytes(std::span(buffer)).first(size));
  };
  EXPECT_EQ(read(516), 516u);
  EXPECT_EQ(source.position(), 0u);
  EXPECT_EQ(read(1), 1u);
  EXPECT_EQ(source.position(), 1u);
  EXPECT_EQ(read(507 + 511), 507u + 511u);
  EXPECT_EQ(source.position(), 1u);
  EXPECT_EQ(read(1), 1u);
  EXPECT_EQ(source.position(), 2u);
  EXPECT_EQ(read(1), 0u);
}

}  // namespace
}  // namespace towline::syncfs
