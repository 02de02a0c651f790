#include "syncfs/tar_splitter.h"

#include "syncfs/tar_block.h"
#include "syncfs/tar_dialect.h"
#include "tests/support/tar_round_trip.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

namespace towline::syncfs {
namespace {

using test::MemoryBlobs;

std::string sample(const std::string& name) {
  const auto path = std::filesystem::path(__FILE__).parent_path() / "tars" / name;
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

std::size_t kept_headers(const Snapshot& snapshot) {
  const auto& members = snapshot.members();
  return static_cast<std::size_t>(std::count_if(members.begin(), members.end(), [](const auto& m) {
    return m.header.dialect == kHeaderKept;
  }));
}

TEST(TarSplitterTest, SamplesOfRealWritersComeBackByteForByteAtEverySplit) {
  struct Case {
    const char* file;
    std::size_t kept;  // headers that no dialect makes again
    const char* why;
  };
  const Case cases[] = {
      {"cli.tar", 0, "docker CLI, legacy builder"},
      {"cliout.tar", 0, "docker CLI, Dockerfile from elsewhere: no padding, no end blocks"},
      {"dockerpy.tar", 0, "docker-py: PAX with fractional times"},
      {"pygnu.tar", 0, "tarfile, GNU_FORMAT"},
      {"pypax.tar", 0, "tarfile, PAX_FORMAT"},
      {"pyustar.tar", 0, "tarfile, USTAR_FORMAT"},
      {"gnu.tar", 0, "GNU tar --format=gnu"},
      {"posix.tar", 0, "GNU tar --format=posix"},
      {"ustar.tar", 0, "GNU tar --format=ustar"},
      {"busybox.tar", 0, "busybox tar"},
      {"dot.tar", 1, "tar -c . : the root's own entry is kept"},
      {"v7.tar", 4, "GNU tar --format=v7: no magic"},
      {"oldgnu.tar", 3, "GNU tar --format=oldgnu: long names cut off elsewhere"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    const std::string tar = sample(c.file);
    for (const std::size_t piece : {tar.size(), std::size_t{1}, std::size_t{511}, std::size_t{512},
                                    std::size_t{700}, std::size_t{4096}}) {
      SCOPED_TRACE(piece);
      MemoryBlobs blobs;
      const auto snapshot = test::split_tar(tar, blobs, {piece});
      EXPECT_GT(snapshot->members().size(), 3u);
      EXPECT_FALSE(snapshot->tail().rest);
      EXPECT_EQ(kept_headers(*snapshot), c.kept);
      EXPECT_TRUE(test::rebuild_tar(snapshot, blobs, piece) == tar);
    }
  }
}

Member make_member(const std::string& path, EntryType type = EntryType::kFile) {
  Member member;
  member.entry.path = path;
  member.entry.type = type;
  member.entry.mode = type == EntryType::kDirectory ? 0755 : 0644;
  member.attributes.mtime_seconds = 1'700'000'000;
  return member;
}

std::string header(const Member& member, std::uint8_t dialect = kGoUstar) {
  std::string out;
  EXPECT_TRUE(write_tar_dialect(member, dialect, out)) << member.entry.path;
  return out;
}

std::string file(const std::string& path, const std::string& content,
                 std::uint8_t dialect = kGoUstar) {
  Member member = make_member(path);
  member.entry.size = content.size();
  std::string out = header(member, dialect);
  append_padded(out, content);
  return out;
}

// A header block with one byte changed and the sum made right again.
std::string with_byte(std::string block, std::size_t at, char value) {
  block[at] = value;
  std::fill_n(block.begin() + 148, 8, ' ');
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  char digits[8];
  std::snprintf(digits, sizeof digits, "%06o", sum);
  std::copy_n(digits, 7, block.begin() + 148);
  return block;
}

const std::string kEnd(1024, '\0');

TEST(TarSplitterTest, OddTarsComeBackByteForByteAtEverySplit) {
  const std::string two = file("a", "content") + file("d/b", std::string(600, 'x'));
  const std::string extended = header(make_member(std::string(120, 'n')), kGoPax);
  const std::string link_with_size =
      with_byte(header(make_member("l", EntryType::kHardLink)), 134, '7');
  struct Case {
    const char* why;
    std::string tar;
    std::size_t members;
    bool clean;
    bool unpadded;
  };
  const Case cases[] = {
      {"nothing at all", "", 0, true, false},
      {"end blocks alone", kEnd, 0, true, false},
      {"no end blocks", two, 2, true, false},
      {"ten thousand bytes of end blocks", two + std::string(10'000, '\0'), 2, true, false},
      {"half an end block", two + std::string(100, '\0'), 2, true, false},
      {"bytes behind the end blocks", two + kEnd + "more", 2, false, false},
      {"a member behind the end blocks", two + kEnd + two, 2, false, false},
      {"no padding after the last file", two.substr(0, two.size() - 424), 2, true, true},
      {"part of the padding", two.substr(0, two.size() - 24), 2, true, true},
      {"padding that is not zeros", two.substr(0, two.size() - 1) + "x" + kEnd, 2, false, true},
      {"cut off in a content", two.substr(0, two.size() - 500), 1, false, false},
      {"cut off before a content", two.substr(0, 1536), 1, false, false},
      {"cut off in a header", two.substr(0, 1100), 1, false, false},
      {"cut off in an extended header", two + extended.substr(0, 700), 2, false, false},
      {"an extended header without a member", two + extended.substr(0, 1024) + kEnd, 2, false,
       false},
      {"no tar", "FROM busybox\nRUN true\n", 0, false, false},
      {"a bad checksum", two + "x" + header(make_member("c")).substr(1), 2, false, false},
      {"an unknown type", two + with_byte(header(make_member("c")), 156, 'Q'), 2, false, false},
      {"a GNU sparse member", two + with_byte(header(make_member("c")), 156, 'S') + kEnd, 2, false,
       false},
      {"a contiguous file", with_byte(file("c", "").substr(0, 512), 156, '7') + kEnd, 1, true,
       false},
      {"an old directory: a slash and no type",
       with_byte(header(make_member("c", EntryType::kDirectory)), 156, '\0') + kEnd, 1, true,
       false},
      {"a hard link with a size but no content", two + link_with_size + kEnd, 3, true, false},
      {"the same path twice", two + file("a", "other") + kEnd, 3, true, false},
      {"a file and something below it", file("a", "1") + file("a/b", "2") + kEnd, 2, true, false},
      {"paths that lead out", file("../a", "1") + file("b/../../c", "2") + kEnd, 2, true, false},
      {"absolute and doubled slashes", file("/a", "1") + file("b//c", "2") + kEnd, 2, true, false},
      {"the root and dots",
       header(make_member(".", EntryType::kDirectory)) + file("./a", "1") + file("././b", "2") +
           file("c/./d", "3") + kEnd,
       4, true, false},
      {"a file called dot", file(".", "1") + kEnd, 1, true, false},
      {"a file with no name", file("", "1") + kEnd, 1, true, false},
      {"a deep path",
       file(
           [] {
             std::string path;
             for (int i = 0; i < 300; ++i) path += "d/";
             return path + "f";
           }(),
           "deep", kGoPax) +
           kEnd,
       1, true, false},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    for (std::size_t cut = 0; cut <= c.tar.size(); cut += (c.tar.size() > 1600 ? 31 : 1)) {
      MemoryBlobs blobs;
      test::TarTaker taker(blobs);
      TarSplitter splitter(taker);
      splitter.feed(test::bytes_of(c.tar).first(cut));
      splitter.feed(test::bytes_of(c.tar).subspan(cut));
      splitter.finish();
      EXPECT_EQ(splitter.clean(), c.clean);
      EXPECT_EQ(splitter.unpadded(), c.unpadded);
      const auto snapshot = taker.snapshot(splitter.unpadded());
      EXPECT_EQ(snapshot->members().size(), c.members);
      ASSERT_TRUE(test::rebuild_tar(snapshot, blobs, 100) == c.tar) << "cut at " << cut;
    }
  }
}

TEST(TarSplitterTest, HeadersBeyondTheLimitAreTheTailAndAreNotGathered) {
  Member huge = make_member(std::string(TarSplitter::kHeaderBytesMax, 'n'));
  const std::string tar = file("a", "1") + header(huge, kGoPax) + kEnd;
  MemoryBlobs blobs;
  const auto snapshot = test::split_tar(tar, blobs, {5000});
  EXPECT_EQ(snapshot->members().size(), 1u);
  EXPECT_TRUE(snapshot->tail().rest);
  EXPECT_TRUE(test::rebuild_tar(snapshot, blobs) == tar);
}

TEST(TarSplitterTest, GivesContentsAsPartsOfWhatWasFed) {
  struct Events final : TarSplitter::Events {
    void member(Member&&) override {}
    void content(Bytes bytes) override { parts.push_back(bytes); }
    void member_end() override {}
    void member_torn(Bytes) override {}
    void tail(Bytes) override {}
    std::vector<Bytes> parts;
  };
  const std::string tar = file("a", "content");
  Events events;
  TarSplitter splitter(events);
  splitter.feed(test::bytes_of(tar));
  ASSERT_EQ(events.parts.size(), 1u);
  EXPECT_EQ(events.parts[0].data(), test::bytes_of(tar).data() + 512);
  EXPECT_EQ(events.parts[0].size(), 7u);
}

class RandomTar {
 public:
  explicit RandomTar(unsigned seed) : random_(seed) {}

  std::string make() {
    std::string tar;
    for (std::size_t n = below(12); n > 0; --n) tar += member();
    tar.append(512 * below(5), '\0');
    if (below(4) == 0) tar.resize(below(tar.size() + 1));
    if (below(4) == 0) tar += std::string(below(2000), below(2) == 0 ? '\0' : 'z');
    for (std::size_t n = below(3); n > 0 && below(3) == 0 && !tar.empty(); --n) {
      tar[below(tar.size())] = static_cast<char>(below(256));
    }
    return tar;
  }

  std::vector<std::size_t> pieces() { return {1 + below(700), 1 + below(30), 1 + below(9000)}; }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }

  std::string path() {
    static const char* const kParts[] = {"a", "b",           "src",      "..",  ".",
                                         "",  "caf\xc3\xa9", "\xff\x01", "a-b", "node_modules"};
    std::string path;
    for (std::size_t n = 1 + below(4); n > 0; --n) {
      if (!path.empty()) path += '/';
      path += below(8) == 0 ? std::string(40 + below(120), 'p') : kParts[below(10)];
    }
    return path;
  }

  std::string member() {
    Member m = make_member(path(), static_cast<EntryType>(below(7)));
    std::string content(m.entry.type == EntryType::kFile ? below(1500) : 0, 'c');
    m.entry.size = content.size();
    m.entry.mode = static_cast<std::uint32_t>(below(4096));
    m.entry.device_minor = m.entry.type == EntryType::kCharDevice ? 3 : 0;
    if (m.entry.type == EntryType::kSymlink || m.entry.type == EntryType::kHardLink) {
      m.entry.link_target = path();
    }
    m.attributes.uid = static_cast<std::uint32_t>(below(3) * 2'000'000);
    m.attributes.mtime_seconds = static_cast<std::int64_t>(below(4'000'000'000)) - 1'000'000'000;
    m.attributes.mtime_nanoseconds =
        below(2) == 0 ? 0 : static_cast<std::uint32_t>(below(10'000'000)) * 100;
    if (below(2) == 0) m.header.extra = std::string("root\0staff", 10);
    std::string out;
    for (std::uint8_t dialect = static_cast<std::uint8_t>(1 + below(kTarDialects - 1));;
         dialect = kPythonGnu) {
      out.clear();
      if (below(5) == 0) dialect |= kDotSlash;
      if (write_tar_dialect(m, dialect, out)) break;
    }
    append_padded(out, content);
    return out;
  }

  std::mt19937 random_;
};

TEST(TarSplitterTest, RandomTarsComeBackByteForByteAndThroughAnUpdate) {
  std::shared_ptr<const Snapshot> base;
  for (unsigned seed = 0; seed < 1500; ++seed) {
    SCOPED_TRACE(seed);
    RandomTar random(seed);
    const std::string tar = random.make();
    MemoryBlobs blobs;
    const auto snapshot = test::split_tar(tar, blobs, random.pieces());
    ASSERT_TRUE(test::rebuild_tar(snapshot, blobs, random.pieces()[0]) == tar);
    const std::string update = Snapshot::encode_update(base.get(), *snapshot, 1);
    const auto applied =
        Snapshot::apply_update(base.get(), test::bytes_of(update), snapshot->id(), 1 << 20);
    ASSERT_TRUE(applied) << applied.error().message();
    ASSERT_TRUE((*applied)->members() == snapshot->members());
    ASSERT_TRUE(test::rebuild_tar(*applied, blobs) == tar);
    base = *applied;
  }
}

}  // namespace
}  // namespace towline::syncfs
