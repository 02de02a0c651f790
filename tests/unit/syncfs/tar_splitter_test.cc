#include "syncfs/tar_splitter.h"

#include "syncfs/tar_dialect.h"
#include "tests/support/tar_round_trip.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

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

}  // namespace
}  // namespace towline::syncfs
