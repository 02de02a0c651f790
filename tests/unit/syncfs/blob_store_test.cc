#include "syncfs/blob_store.h"

#include "store_testing.h"

#include <sys/mount.h>

#include <algorithm>
#include <optional>
#include <thread>

namespace towline::syncfs {
namespace {

constexpr std::size_t kLarge = (1 << 20) + 17;

TEST(BlobStoreTest, GivesBackWhatWasPutAtEverySizeNowAndAfterReopening) {
  struct Case {
    std::size_t size;
    const char* why;
  };
  const Case cases[] = {
      {0, "empty"},
      {1, "one byte"},
      {4096, "a page"},
      {(1 << 20) - 1, "the largest in a pack"},
      {1 << 20, "the smallest loose file"},
      {3 << 20, "a loose file"},
  };
  const ScratchDir dir;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    const std::string text = noise(c.size, c.size);
    std::optional<BlobId> id;
    {
      BlobStore store({.dir = dir / "s"});
      EXPECT_FALSE(store.has(blob_id_of(bytes_of(text))));
      id = put(store, text);
      EXPECT_EQ(*id, blob_id_of(bytes_of(text)));
      EXPECT_EQ(content(store, *id), text);
      store.flush();
      EXPECT_EQ(content(store, *id), text);
    }
    BlobStore store({.dir = dir / "s"});
    EXPECT_TRUE(store.has(*id));
    EXPECT_EQ(content(store, *id), text);
    ASSERT_NE(store.open_verified(*id), nullptr);
    EXPECT_EQ(read_all(*store.open_verified(*id), 1 << 30), text);
    EXPECT_EQ(store.losses(), 0u);
  }
  BlobStore store({.dir = dir / "s"});
  EXPECT_EQ(store.usage().blobs, std::size(cases));
  EXPECT_TRUE(store.check().empty());
}

TEST(BlobStoreTest, PuttingTheSameBytesAgainStoresNothing) {
  const ScratchDir dir;
  BlobStore store({.dir = dir / "s"});
  for (const std::size_t size : {std::size_t{10}, kLarge}) {
    const std::string text = noise(1, size);
    const auto id = put(store, text);
    const auto before = store.usage();
    EXPECT_EQ(put(store, text), id);
    store.flush();
    EXPECT_EQ(put(store, text), id);
    EXPECT_EQ(store.usage().bytes, before.bytes);
    EXPECT_EQ(store.usage().blobs, before.blobs);
  }
}

TEST(BlobStoreTest, KeepsItsIdUntilItIsWiped) {
  const ScratchDir dir;
  StoreId first;
  {
    const BlobStore store({.dir = dir / "s"});
    first = store.id();
  }
  EXPECT_EQ(BlobStore({.dir = dir / "s"}).id(), first);
  std::filesystem::remove_all(dir / "s");
  EXPECT_NE(BlobStore({.dir = dir / "s"}).id(), first);
}

TEST(BlobStoreTest, ASecondOpenerIsToldWhoHasIt) {
  const ScratchDir dir;
  const BlobStore store({.dir = dir / "s"});
  try {
    BlobStore second({.dir = dir / "s"});
    FAIL() << "opened twice";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::conflict);
    const std::string text = "open store " + (dir / "s").native() + ": process " +
                             std::to_string(::getpid()) + " has it (stop it first)";
    EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what();
  }
}

TEST(BlobStoreTest, ReadsPastTheEndOfABlobAreErrorsNotItsNeighbour) {
  const ScratchDir dir;
  BlobStore store({.dir = dir / "s"});
  const auto id = put(store, "abc");
  put(store, "its neighbour");
  std::array<std::byte, 2> two{};
  EXPECT_NO_THROW(store.open(id)->read_at(1, two));
  EXPECT_THROW(store.open(id)->read_at(2, two), Error);
  EXPECT_THROW(store.open(id)->read_at(~std::uint64_t{0}, two), Error);
}

TEST(SpoolTest, MakesABlobOfContentThatComesInPieces) {
  struct Case {
    std::size_t size;
    std::size_t piece;
    const char* why;
  };
  const Case cases[] = {
      {0, 1, "nothing"},
      {100, 7, "small"},
      {BlobStore::kSpoolMemoryMax, 1 << 16, "all that memory takes, yet a loose file"},
      {BlobStore::kSpoolMemoryMax + 1, 1 << 16, "one more: spills at the last piece"},
      {3 << 20, 3 << 20, "too large at once"},
  };
  const ScratchDir dir;
  BlobStore store({.dir = dir / "s"});
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    const std::string text = noise(c.size + 5, c.size);
    const auto id = blob_id_of(bytes_of(text));
    for (const bool commit : {false, true}) {
      BlobStore::Spool spool(store);
      for (std::size_t at = 0; at < text.size(); at += c.piece) {
        spool.write(bytes_of(text).subspan(at, std::min(c.piece, text.size() - at)));
      }
      EXPECT_EQ(spool.finish(), id);
      EXPECT_EQ(read_all(spool.content(), 1 << 30), text);
      EXPECT_FALSE(store.has(id));
      if (commit) spool.commit();
      EXPECT_EQ(read_all(spool.content(), 1 << 30), text);
    }
    EXPECT_EQ(content(store, id), text);
  }
  EXPECT_TRUE(files_in(dir / "s/tmp").empty());
  EXPECT_TRUE(store.check().empty());
}

TEST(EvictionTest, TakesTheLeastRecentlyUsedFirstAndShowsItReadable) {
  const ScratchDir dir;
  BlobStore store({.dir = dir / "s", .budget_bytes = 3100});
  std::vector<BlobId> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(put(store, noise(i, 1000)));
  store.flush();
  store.touch(ids[0]);         // a use
  put(store, noise(1, 1000));  // so is putting it again
  std::vector<BlobId> victims;
  store.evict([&](const BlobId& id, const ContentSource& source) {
    victims.push_back(id);
    EXPECT_EQ(blob_id_of(bytes_of(read_all(source, 4096))), id);
    EXPECT_TRUE(store.has(id)) << "and the mutex is free";
  });
  EXPECT_EQ(victims, (std::vector{ids[2], ids[3], ids[4]}));
  EXPECT_EQ(store.losses(), 3u);
  EXPECT_TRUE(store.has(ids[0]) && store.has(ids[1]));
  EXPECT_FALSE(store.has(ids[2]));
  EXPECT_LE(store.usage().bytes, 3100u);
  EXPECT_EQ(store.usage().blobs, 2u);
  store.evict([](const BlobId&, const ContentSource&) { FAIL() << "within budget"; });
}

TEST(EvictionTest, LeavesLeasedBlobsEvenOverBudget) {
  const ScratchDir dir;
  BlobStore store({.dir = dir / "s", .budget_bytes = 10});
  const auto small = put(store, noise(1, 1000));
  const auto large = put(store, noise(2, kLarge));
  const auto other = put(store, noise(3, kLarge));
  {
    BlobStore::Lease lease(store);
    BlobStore::Lease second(store);
    lease.add(small);
    lease.add(large);
    second.add(large);
    store.evict();
    EXPECT_TRUE(store.has(small) && store.has(large));
    EXPECT_FALSE(store.has(other));
    EXPECT_GT(store.usage().bytes, store.usage().budget_bytes);
  }
  store.evict();
  EXPECT_EQ(store.usage().blobs, 0u);
  EXPECT_EQ(store.usage().bytes, 0u);
  EXPECT_TRUE(files_in(dir / "s/blobs").empty());
}

TEST(EvictionTest, ALeaseTakenWhileTheVictimIsShownSavesIt) {
  const ScratchDir dir;
  BlobStore store({.dir = dir / "s", .budget_bytes = 10});
  const auto id = put(store, noise(1, 1000));
  BlobStore::Lease lease(store);
  store.evict([&](const BlobId& victim, const ContentSource&) { lease.add(victim); });
  EXPECT_TRUE(store.has(id));
  EXPECT_EQ(store.losses(), 0u);
}

TEST(EvictionTest, AnOpenBlobStaysReadable) {
  const ScratchDir dir;
  BlobStore store({.dir = dir / "s", .budget_bytes = 0, .pack_bytes_max = 2000});
  std::vector<std::string> texts{noise(1, 1000), noise(2, kLarge)};
  std::vector<std::unique_ptr<ContentSource>> open;
  for (const auto& text : texts) open.push_back(store.open(put(store, text)));
  put(store, noise(3, 1900));  // another pack, so that the first can go
  store.evict();
  EXPECT_EQ(store.usage().blobs, 0u);
  EXPECT_TRUE(files_in(dir / "s/packs").empty());
  for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(read_all(*open[i], 1 << 30), texts[i]);
}

TEST(EvictionTest, CompactsPacksOfWhichLessThanHalfIsLive) {
  const ScratchDir dir;
  const StoreOptions options{.dir = dir / "s", .budget_bytes = 9000, .pack_bytes_max = 10'500};
  std::vector<BlobId> ids;
  std::vector<std::string> texts;
  for (int i = 0; i < 20; ++i) texts.push_back(noise(i, 1000));
  {
    BlobStore store(options);
    for (const auto& text : texts) ids.push_back(put(store, text));
    store.flush();
    EXPECT_EQ(files_in(dir / "s/packs").size(), 2u);
    for (const int kept : {3, 7, 11, 13, 17}) store.touch(ids[kept]);
    store.evict();
    std::uintmax_t on_disk = 0;
    for (const auto& file : files_in(dir / "s/packs")) on_disk += std::filesystem::file_size(file);
    EXPECT_LT(on_disk, 2 * options.budget_bytes);
    EXPECT_FALSE(std::filesystem::exists(dir / "s/packs/0001.pack"));
    for (const int kept : {3, 7, 11, 13, 17}) EXPECT_EQ(content(store, ids[kept]), texts[kept]);
    EXPECT_TRUE(store.check().empty());
  }
  BlobStore store(options);
  EXPECT_EQ(store.losses(), 12u);
  EXPECT_EQ(store.usage().blobs, 8u);
  for (const int kept : {3, 7, 11, 13, 17}) EXPECT_EQ(content(store, ids[kept]), texts[kept]);
}

TEST(EvictionTest, AnEvictedBlobCanBePutAgain) {
  const ScratchDir dir;
  for (const std::size_t size : {std::size_t{100}, kLarge}) {
    BlobStore store({.dir = dir / "s", .budget_bytes = 0});
    const std::string text = noise(size, size);
    for (int round = 0; round < 3; ++round) {
      const auto id = put(store, text);
      EXPECT_EQ(content(store, id), text);
      store.evict();
      EXPECT_FALSE(store.has(id));
    }
  }
}

/// A small file system of its own, if this process may mount one.
class SmallDisk {
 public:
  explicit SmallDisk(std::filesystem::path at) : at_(std::move(at)) {
    std::filesystem::create_directories(at_);
    mounted_ = ::mount("none", at_.c_str(), "tmpfs", 0, "size=6m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }

 private:
  std::filesystem::path at_;
  bool mounted_ = false;
};

void expect_no_space(const std::filesystem::path& dir, const std::function<void()>& act) {
  try {
    act();
    FAIL() << "there was space";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::no_space);
    const std::string text = "store blob in " + dir.native() +
                             ": no space left on device (free some, or lower --store-budget)";
    EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what();
  }
}

TEST(DiskFullTest, IsAClearErrorAndTheStoreGoesOnWhenThereIsSpace) {
  const ScratchDir dir;
  const SmallDisk disk(dir / "disk");
  if (!disk.mounted()) GTEST_SKIP() << "needs the right to mount a tmpfs (root)";
  const auto path = dir / "disk/s";
  std::vector<std::string> texts;
  {
    BlobStore store({.dir = path, .budget_bytes = 0});
    texts.push_back(noise(1, 100'000));
    put(store, texts[0]);
    store.flush();
    {
      std::ofstream(dir / "disk/other") << noise(2, 4 << 20);
    }
    expect_no_space(path, [&] {
      for (int i = 10;; ++i) {
        std::string text = noise(i, 300'000);
        put(store, text);
        texts.push_back(std::move(text));
      }
    });
    expect_no_space(path, [&] { put(store, noise(3, 3 << 20)); });
    expect_no_space(path, [&] {
      BlobStore::Spool spool(store);
      for (int i = 0; i < 40; ++i) spool.write(bytes_of(noise(i, 100'000)));
    });
    for (const auto& text : texts) EXPECT_EQ(content(store, blob_id_of(bytes_of(text))), text);
    std::filesystem::remove(dir / "disk/other");
    texts.push_back(noise(4, 2 << 20));
    put(store, texts.back());
    store.flush();
    EXPECT_TRUE(store.check().empty());
  }
  BlobStore store({.dir = path, .budget_bytes = 0});
  EXPECT_EQ(store.losses(), 0u);
  for (const auto& text : texts) EXPECT_EQ(content(store, blob_id_of(bytes_of(text))), text);
}

TEST(DiskFullTest, AFlushThatHasNoRoomForTheIndexCanBeRepeated) {
  const ScratchDir dir;
  const SmallDisk disk(dir / "disk");
  if (!disk.mounted()) GTEST_SKIP() << "needs the right to mount a tmpfs (root)";
  const auto path = dir / "disk/s";
  std::vector<BlobId> ids;
  {
    BlobStore store({.dir = path});
    for (int i = 0; i < 5000; ++i) ids.push_back(put(store, std::to_string(i)));
    std::ofstream filler(dir / "disk/other", std::ios::binary);
    const std::string zeros(4096, '\0');
    while (filler.write(zeros.data(), 4096).flush()) continue;
    expect_no_space(path, [&] { store.flush(); });
    EXPECT_TRUE(std::ranges::all_of(ids, [&](const BlobId& id) { return store.has(id); }));
    std::filesystem::remove(dir / "disk/other");
    filler.close();
    store.flush();
  }
  BlobStore store({.dir = path});
  EXPECT_EQ(store.usage().blobs, ids.size());
  EXPECT_TRUE(store.check().empty());
}

TEST(ConcurrencyTest, ThreadsPutReadLeaseFlushAndEvictTogether) {
  const ScratchDir dir;
  BlobStore store({.dir = dir / "s", .budget_bytes = 300'000, .pack_bytes_max = 100'000});
  const auto work = [&](unsigned seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < 150; ++i) {
      BlobStore::Lease lease(store);
      const std::uint64_t name = random() % 60;
      const std::string text = noise(name, name == 0 ? kLarge : 200 * name);
      lease.add(blob_id_of(bytes_of(text)));
      const auto id = put(store, text);
      EXPECT_EQ(content(store, id), text);
      EXPECT_NE(store.open_verified(id), nullptr);
      if (i % 16 == 3) store.flush();
      if (i % 16 == 11)
        store.evict([&](const BlobId& victim, const ContentSource& source) {
          EXPECT_EQ(blob_id_of(bytes_of(read_all(source, 1 << 30))), victim);
        });
      EXPECT_TRUE(store.has(id)) << "leased";
      BlobStore::Spool spool(store);
      spool.write(bytes_of(noise(random() % 30 + 100, 3000)));
      spool.finish();
      spool.commit();
    }
  };
  std::vector<std::thread> threads;
  for (unsigned seed = 0; seed < 4; ++seed) threads.emplace_back(work, seed);
  for (auto& thread : threads) thread.join();
  store.evict();
  EXPECT_LE(store.usage().bytes, 300'000u);
  EXPECT_TRUE(store.check().empty());
}

}  // namespace
}  // namespace towline::syncfs
