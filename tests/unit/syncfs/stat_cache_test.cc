#include "syncfs/stat_cache.h"

#include "store_testing.h"

#include <sys/stat.h>

#include <functional>
#include <thread>

namespace towline::syncfs {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::int64_t kNow = 1'700'000'000 * kSecond + 123'456'789;

const BlobId kBlob = blob_id_of(bytes_of("content"));
const FileStat kOld{.size = 7,
                    .mtime_ns = kNow - 100 * kSecond,
                    .ctime_ns = kNow - 90 * kSecond,
                    .inode = 11,
                    .device = 3};

FileStat with(const std::function<void(FileStat&)>& change) {
  FileStat changed = kOld;
  change(changed);
  return changed;
}

TEST(StatCacheTest, AnswersOnlyForExactlyTheFileThatWasHashed) {
  struct Case {
    FileStat now;
    bool found;
    const char* why;
  };
  const Case cases[] = {
      {kOld, true, "unchanged"},
      {with([](auto& s) { s.size = 8; }), false, "grown"},
      {with([](auto& s) { s.mtime_ns += 1; }), false, "written"},
      {with([](auto& s) { s.mtime_ns -= 1; }), false, "an older version unpacked"},
      {with([](auto& s) { s.ctime_ns += 1; }), false, "written, and mtime restored"},
      {with([](auto& s) { s.inode = 12; }), false, "replaced by rename, times copied"},
      {with([](auto& s) { s.device = 4; }), false, "another file system mounted over it"},
  };
  const ScratchDir dir;
  for (const bool reopened : {false, true}) {
    StatCache cache(dir / "stat.db");
    if (!reopened) cache.put("/a", kOld, kBlob, kNow);
    for (const Case& c : cases) {
      SCOPED_TRACE(c.why);
      const auto found = cache.find("/a", c.now);
      EXPECT_EQ(found.has_value(), c.found);
      if (found) {
        EXPECT_EQ(*found, kBlob);
      }
      EXPECT_FALSE(cache.find("/b", c.now));
    }
  }
}

TEST(StatCacheTest, DoesNotTrustWhatWasYoungWhenItWasRead) {
  struct Case {
    std::int64_t mtime_ns;
    std::int64_t ctime_ns;
    bool proves;
    const char* why;
  };
  const std::int64_t whole = kNow / kSecond * kSecond;
  const Case cases[] = {
      {kNow - kSecond, kNow - kSecond, true, "a second old, with fractions"},
      {kNow, kNow, false, "written in the same tick"},
      {kNow - 5'000'000, kNow - 5'000'000, false, "within a tick of 10 ms"},
      {kNow - 100 * kSecond, kNow - 5'000'000, false, "mtime restored just now"},
      {kNow - 5'000'000, kNow - 100 * kSecond, false, "a young mtime alone"},
      {whole, whole, false, "coarse times, the same second"},
      {whole - kSecond, whole - kSecond, false, "FAT's two seconds"},
      {whole - 3 * kSecond, whole - 3 * kSecond, true, "coarse, older than that"},
      {whole - 3 * kSecond, kNow - kSecond, true, "an unpacked mtime on a fine file system"},
      {kNow + 1000 * kSecond, kNow - 90 * kSecond, false, "from the future"},
  };
  const ScratchDir dir;
  StatCache cache(dir / "stat.db");
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    const FileStat stat = with([&](auto& s) {
      s.mtime_ns = c.mtime_ns;
      s.ctime_ns = c.ctime_ns;
    });
    EXPECT_EQ(proves_content(stat, kNow), c.proves);
    cache.put("/a", stat, kBlob, kNow);
    EXPECT_EQ(cache.find("/a", stat).has_value(), c.proves);
  }
}

TEST(StatCacheTest, ARewriteOfTheSameSizeRightAfterHashingIsNeverMissed) {
  const ScratchDir dir;
  const std::string path = (dir / "file").native();
  StatCache cache(dir / "stat.db");
  const auto stat_now = [&path] {
    struct stat found{};
    EXPECT_EQ(::stat(path.c_str(), &found), 0);
    return FileStat::of(found);
  };
  for (int i = 0; i < 200; ++i) {
    const std::string text = "version " + std::to_string(100 + i);
    {
      std::ofstream(path) << text;
    }  // the same inode
    const auto before = stat_now();
    if (const auto known = cache.find(path, before)) {
      EXPECT_EQ(*known, blob_id_of(bytes_of(text)));
    }
    cache.put(path, before, blob_id_of(bytes_of(text)), StatCache::now_ns());
  }
}

TEST(StatCacheTest, AYoungRereadReplacesAnOlderAnswer) {
  const ScratchDir dir;
  StatCache cache(dir / "stat.db");
  cache.put("/a", kOld, kBlob, kNow);
  cache.flush();
  cache.put("/a", kOld, blob_id_of(bytes_of("other")), kOld.mtime_ns);
  EXPECT_FALSE(cache.find("/a", kOld)) << "the older answer is known to be wrong";
  cache.flush();
  EXPECT_FALSE(cache.find("/a", kOld));
  EXPECT_EQ(cache.entries(), 0u);
}

TEST(StatCacheTest, IsBoundedAndKeepsWhatIsAskedFor) {
  const ScratchDir dir;
  StatCache cache(dir / "stat.db", 100);
  const auto path = [](int i) { return "/file " + std::to_string(i); };
  for (int i = 0; i < 60; ++i) cache.put(path(i), kOld, kBlob, kNow);
  cache.flush();
  for (int i = 60; i < 100; ++i) cache.put(path(i), kOld, kBlob, kNow);
  cache.flush();
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(cache.find(path(i), kOld));
  for (int i = 100; i < 110; ++i) cache.put(path(i), kOld, kBlob, kNow);
  EXPECT_EQ(cache.entries(), 90u);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(cache.find(path(i), kOld)) << i;
  for (int i = 60; i < 110; ++i) EXPECT_TRUE(cache.find(path(i), kOld)) << i;
}

TEST(StatCacheTest, ADamagedFileIsSetAsideAndStartsEmpty) {
  const ScratchDir dir;
  {
    StatCache(dir / "stat.db").put("/a", kOld, kBlob, kNow);
  }
  {
    std::ofstream(dir / "stat.db") << noise(1, 9000);
  }
  StatCache cache(dir / "stat.db");
  EXPECT_FALSE(cache.find("/a", kOld));
  cache.put("/a", kOld, kBlob, kNow);
  cache.flush();
  EXPECT_TRUE(cache.find("/a", kOld));
}

TEST(ConcurrencyTest, ThreadsPutAndFindInAStatCache) {
  const ScratchDir dir;
  StatCache cache(dir / "stat.db");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string path = std::to_string(t) + "/" + std::to_string(i);
        cache.put(path, kOld, kBlob, kNow);
        EXPECT_TRUE(cache.find(path, kOld));
        if (i % 20 == 0) cache.flush();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(cache.entries(), 400u);
}

}  // namespace
}  // namespace towline::syncfs
