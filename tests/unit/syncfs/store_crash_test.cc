// What a store is after a kill -9, and after its files were damaged.
#include "protocol/fd.h"
#include "store_testing.h"
#include "syncfs/sqlite.h"

#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <map>

namespace towline::syncfs {
namespace {

constexpr std::size_t kLarge = (1 << 20) + 5;
constexpr int kBlobsPerFlush = 12;

std::string text_of(std::uint64_t seed, int number) {
  const std::size_t size = number % 11 == 5 ? kLarge : 100 + (number * 37) % 5000;
  return noise(seed * 10'000 + number, size);
}

/// Puts and flushes for ever; says through the pipe how many blobs each flush has returned for.
[[noreturn]] void put_until_killed(const StoreOptions& options, std::uint64_t seed, int out) {
  BlobStore store(options);
  for (int number = 0;; ++number) {
    put(store, text_of(seed, number));
    if (number % kBlobsPerFlush != kBlobsPerFlush - 1) continue;
    store.flush();
    const int flushed = number + 1;
    if (::write(out, &flushed, sizeof flushed) != sizeof flushed) std::_Exit(1);
  }
}

struct Killed {
  int flushed = 0;
};

/// Kills the child after the given number of flushes and then some microseconds of a fixed seed, so
/// that it dies between any two of its writes.
Killed run_and_kill(const StoreOptions& options, std::uint64_t seed) {
  std::array<int, 2> pipe{};
  if (::pipe(pipe.data()) != 0) throw_errno("pipe");
  const Fd in(pipe[0]);
  Fd out(pipe[1]);
  const pid_t child = ::fork();
  if (child == 0) put_until_killed(options, seed, out.get());
  out = Fd();
  std::mt19937_64 random(seed);
  Killed result;
  for (auto flushes = random() % 3; flushes > 0; --flushes) {
    if (::read(in.get(), &result.flushed, sizeof(int)) != sizeof(int)) break;
  }
  ::usleep(static_cast<useconds_t>(random() % 30'000));
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child failed by itself";
  while (::read(in.get(), &result.flushed, sizeof(int)) == sizeof(int)) continue;
  return result;
}

TEST(StoreCrashTest, AKilledStoreHasAllThatWasFlushedAndNothingTorn) {
  int flushed_in_all = 0;
  for (std::uint64_t seed = 1; seed <= 24; ++seed) {
    SCOPED_TRACE(seed);
    const ScratchDir dir;
    const StoreOptions options{.dir = dir / "s", .pack_bytes_max = 60'000};
    std::uint64_t losses_before = 0;
    for (std::uint64_t round = 0; round < 2;
         ++round) {  // the second one on what the first has left
      const auto [flushed] = run_and_kill(options, seed + round * 100);
      flushed_in_all += flushed;
      BlobStore store(options);
      for (int number = 0; number < flushed; ++number) {
        const std::string text = text_of(seed + round * 100, number);
        ASSERT_EQ(content(store, blob_id_of(bytes_of(text))), text) << number;
      }
      EXPECT_TRUE(store.check().empty());
      EXPECT_TRUE(files_in(dir / "s/tmp").empty());
      if (flushed > 0) {
        EXPECT_GT(store.losses(), losses_before) << "blobs that were present may be gone";
      }
      losses_before = store.losses();
    }
  }
  EXPECT_GT(flushed_in_all, 0) << "this machine is too slow for the test to mean anything";
}

TEST(StoreCrashTest, WhatWasNotFlushedLeavesNoFilesBehind) {
  const ScratchDir dir;
  const pid_t child = ::fork();
  if (child == 0) {
    BlobStore store({.dir = dir / "s"});
    put(store, "flushed");
    store.flush();
    put(store, "not flushed");
    put(store, noise(1, kLarge));
    std::_Exit(0);  // no destructor
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  const auto pack = dir / "s/packs/0001.pack";
  const auto size = std::filesystem::file_size(pack);
  EXPECT_EQ(files_in(dir / "s/blobs").size(), 1u);
  BlobStore store({.dir = dir / "s"});
  EXPECT_EQ(std::filesystem::file_size(pack),
            size - (4 + BlobId::kSize + std::string("not flushed").size()));
  EXPECT_TRUE(files_in(dir / "s/blobs").empty());
  EXPECT_EQ(store.usage().blobs, 1u);
  EXPECT_EQ(content(store, blob_id_of(bytes_of("flushed"))), "flushed");
}

struct Damage {
  const char* why;
  std::function<void(const std::filesystem::path& store)> act;
  std::vector<std::string> lost;
  bool at_open;  // gone when the store is opened; else found by check
};

const std::map<std::string, std::string>& texts() {
  static const std::map<std::string, std::string> all{
      {"first", noise(1, 1000)}, {"second", noise(2, 1000)}, {"loose", noise(3, kLarge)}};
  return all;
}

BlobId id_of(const std::string& name) { return blob_id_of(bytes_of(texts().at(name))); }

std::filesystem::path loose_file(const std::filesystem::path& store) {
  return files_in(store / "blobs").at(0);
}

std::vector<Damage> damages() {
  const auto pack = [](const std::filesystem::path& store) { return store / "packs/0001.pack"; };
  return {
      {"a byte in a pack", [=](const auto& s) { damage(pack(s), 8 + 36 + 500); }, {"first"}, false},
      {"the last byte of a pack", [=](const auto& s) { damage(pack(s), -1); }, {"second"}, false},
      {"a loose file's byte",
       [](const auto& s) { damage(loose_file(s), 70'000); },
       {"loose"},
       false},
      {"a loose file's magic", [](const auto& s) { damage(loose_file(s), 0); }, {"loose"}, true},
      {"a loose file's size", [](const auto& s) { damage(loose_file(s), 9); }, {"loose"}, true},
      {"a cut loose file",
       [](const auto& s) { std::filesystem::resize_file(loose_file(s), 5000); },
       {"loose"},
       true},
      {"no loose file",
       [](const auto& s) { std::filesystem::remove(loose_file(s)); },
       {"loose"},
       true},
      {"a cut pack",
       [=](const auto& s) { std::filesystem::resize_file(pack(s), 8 + 36 + 1000 + 50); },
       {"second"},
       true},
      {"an empty pack",
       [=](const auto& s) { std::filesystem::resize_file(pack(s), 0); },
       {"first", "second"},
       true},
      {"no pack",
       [=](const auto& s) { std::filesystem::remove(pack(s)); },
       {"first", "second"},
       true},
      {"a pack's magic", [=](const auto& s) { damage(pack(s), 3); }, {"first", "second"}, true},
  };
}

TEST(StoreDamageTest, IsFoundAndReportedAsAbsence) {
  for (const Damage& c : damages()) {
    SCOPED_TRACE(c.why);
    const ScratchDir dir;
    {
      BlobStore store({.dir = dir / "s"});
      for (const auto& name : {"first", "second", "loose"}) put(store, texts().at(name));
    }
    c.act(dir / "s");
    BlobStore store({.dir = dir / "s"});
    std::vector<BlobId> lost;
    for (const auto& name : c.lost) lost.push_back(id_of(name));
    const auto corrupt = store.check();
    EXPECT_TRUE(std::ranges::is_permutation(corrupt, c.at_open ? std::vector<BlobId>{} : lost));
    for (const auto& [name, text] : texts()) {
      const bool gone = std::ranges::find(lost, id_of(name)) != lost.end();
      EXPECT_EQ(store.has(id_of(name)), !gone) << name;
      EXPECT_EQ(store.open_verified(id_of(name)) == nullptr, gone) << name;
    }
    EXPECT_EQ(store.losses(), lost.size());
    EXPECT_EQ(store.usage().blobs, 3 - lost.size());
    for (const auto& name : c.lost) put(store, texts().at(name));  // and it can be put again
    for (const auto& [name, text] : texts()) EXPECT_EQ(content(store, id_of(name)), text);
    EXPECT_TRUE(store.check().empty());
  }
}

TEST(StoreDamageTest, WhileItIsOpenIsFoundByReading) {
  const ScratchDir dir;
  BlobStore store({.dir = dir / "s"});
  for (const auto& [name, text] : texts()) put(store, text);
  store.flush();
  std::filesystem::remove(loose_file(dir / "s"));
  damage(dir / "s/packs/0001.pack", 8 + 36 + 3);
  EXPECT_EQ(store.open(id_of("loose")), nullptr);
  EXPECT_EQ(store.open_verified(id_of("first")), nullptr);
  EXPECT_EQ(store.losses(), 2u);
  EXPECT_EQ(content(store, id_of("second")), texts().at("second"));
}

TEST(StoreDamageTest, AnIndexRowThatPointsElsewhereGivesNoWrongBytes) {
  const ScratchDir dir;
  {
    BlobStore store({.dir = dir / "s"});
    for (const auto& [name, text] : texts()) put(store, text);
  }
  Database(dir / "s/index.db").exec("UPDATE blobs SET offset=offset-1 WHERE pack=1");
  BlobStore store({.dir = dir / "s"});
  EXPECT_EQ(store.open_verified(id_of("first")), nullptr);
  EXPECT_EQ(store.check(), std::vector{id_of("second")});
}

TEST(StoreDamageTest, ALostIndexIsMadeAgainFromWhatTheFilesSay) {
  const std::pair<const char*, std::function<void(const std::filesystem::path&)>> cases[] = {
      {"no database", [](const auto& file) { std::ofstream(file) << noise(1, 9000); }},
      {"garbage in the middle",
       [](const auto& file) {
         std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
         stream.seekp(4096);
         stream << noise(2, std::filesystem::file_size(file) - 4096);
       }},
  };
  for (const auto& [why, act] : cases) {
    SCOPED_TRACE(why);
    const ScratchDir dir;
    StoreId before;
    {
      BlobStore store({.dir = dir / "s", .pack_bytes_max = 1500});
      before = store.id();
      for (const auto& [name, text] : texts()) put(store, text);
    }
    act(dir / "s/index.db");
    damage(dir / "s/packs/0002.pack", -1);
    BlobStore store({.dir = dir / "s"});
    EXPECT_NE(store.id(), before) << "a peer's record of it is void";
    EXPECT_EQ(content(store, id_of("first")), texts().at("first"));
    EXPECT_EQ(content(store, id_of("loose")), texts().at("loose"));
    EXPECT_FALSE(store.has(id_of("second"))) << "damaged";
    EXPECT_TRUE(store.check().empty());
    EXPECT_EQ(store.usage().blobs, 2u);
  }
}

}  // namespace
}  // namespace towline::syncfs
