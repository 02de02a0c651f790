#include "syncfs/peer_record.h"

#include "store_testing.h"

#include <functional>
#include <thread>

namespace towline::syncfs {
namespace {

const StoreId kA{std::byte{1}};
const StoreId kB{std::byte{2}};
const StoreId kC{std::byte{3}};

BlobId id(std::uint64_t number) { return blob_id_of(bytes_of(std::to_string(number))); }

std::vector<BlobId> ids(std::uint64_t from, std::uint64_t to) {
  std::vector<BlobId> all;
  for (; from < to; ++from) all.push_back(id(from));
  return all;
}

TEST(PeerRecordTest, RemembersByStoreAndKindBeforeAndAfterItIsWritten) {
  const ScratchDir dir;
  for (int opening = 0; opening < 3; ++opening) {
    SCOPED_TRACE(opening);
    PeerRecord record(dir / "peers.db");
    if (opening == 0) {
      record.add(kA, ids(0, 3));
      record.add_snapshot(kB, id(1));
      record.remove(kA, id(2));
    }
    EXPECT_TRUE(record.has(kA, id(0)) && record.has(kA, id(1)));
    EXPECT_FALSE(record.has(kA, id(2))) << "removed";
    EXPECT_FALSE(record.has(kB, id(0))) << "another store";
    EXPECT_TRUE(record.has_snapshot(kB, id(1)));
    EXPECT_FALSE(record.has(kB, id(1))) << "another kind";
    EXPECT_FALSE(record.has_snapshot(kA, id(1)));
    EXPECT_EQ(record.entries(), 3u);
  }
  PeerRecord record(dir / "peers.db");
  record.remove(kA, id(0));
  record.remove_snapshot(kB, id(1));
  EXPECT_EQ(record.entries(), 1u);
  EXPECT_FALSE(record.has(kA, id(0)) || record.has_snapshot(kB, id(1)));
}

TEST(PeerRecordTest, ForgetsAStoreWrittenOrNot) {
  const ScratchDir dir;
  PeerRecord record(dir / "peers.db");
  record.add(kA, ids(0, 5));
  record.add(kB, ids(0, 5));
  record.flush();
  record.add(kA, ids(5, 9));
  record.forget(kA);
  record.forget(kC);
  EXPECT_FALSE(record.has(kA, id(0)) || record.has(kA, id(6)));
  EXPECT_TRUE(record.has(kB, id(0)));
  EXPECT_EQ(record.entries(), 5u);
}

TEST(PeerRecordTest, IsBoundedTheStoreUsedLongestAgoGoesFirstThenTheOldest) {
  const ScratchDir dir;
  PeerRecord record(dir / "peers.db", 100);
  record.add(kA, ids(0, 40));
  record.flush();
  record.add(kB, ids(0, 40));
  record.flush();
  record.add(kA, ids(40, 50));
  record.flush();
  record.add(kC, ids(0, 30));
  EXPECT_EQ(record.entries(), 80u);
  EXPECT_FALSE(record.has(kB, id(0))) << "used longest ago";
  EXPECT_TRUE(record.has(kA, id(0)) && record.has(kC, id(0)));
  record.add(kC, ids(30, 200));
  EXPECT_EQ(record.entries(), 90u);
  EXPECT_FALSE(record.has(kA, id(0)));
  EXPECT_TRUE(record.has_snapshot(kC, id(0)) == false && record.entries() == 90u);
}

TEST(PeerRecordTest, ADamagedFileIsSetAsideAndStartsEmpty) {
  const std::pair<const char*, std::function<void(const std::filesystem::path&)>> cases[] = {
      {"no database", [](const auto& file) { std::ofstream(file) << noise(1, 9000); }},
      {"damaged pages",
       [](const auto& file) {
         const auto size = std::filesystem::file_size(file);
         std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
         stream.seekp(4096);
         stream << noise(2, size - 4096);
       }},
  };
  for (const auto& [why, act] : cases) {
    SCOPED_TRACE(why);
    const ScratchDir dir;
    {
      PeerRecord(dir / "peers.db").add(kA, ids(0, 500));
    }
    act(dir / "peers.db");
    PeerRecord record(dir / "peers.db");
    EXPECT_FALSE(record.has(kA, id(0)));
    record.add(kA, ids(0, 2));
    EXPECT_EQ(record.entries(), 2u);
    EXPECT_TRUE(record.has(kA, id(1)));
    EXPECT_TRUE(std::filesystem::exists(dir / "peers.db.corrupt"));
  }
}

TEST(ConcurrencyTest, ThreadsNoteAndAskAPeerRecord) {
  const ScratchDir dir;
  PeerRecord record(dir / "peers.db");
  std::vector<std::thread> threads;
  for (std::uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&record, t] {
      for (std::uint64_t i = 0; i < 100; ++i) {
        record.add(kA, ids(t * 1000 + i, t * 1000 + i + 1));
        EXPECT_TRUE(record.has(kA, id(t * 1000 + i)));
        if (i % 20 == 0) record.flush();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(record.entries(), 400u);
}

}  // namespace
}  // namespace towline::syncfs
