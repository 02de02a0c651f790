#include "syncfs/snapshot_update.h"

#include "syncfs/byte_codec.h"
#include "syncfs/sha256.h"
#include "syncfs/snapshot.h"
#include "syncfs/tar_dialect.h"
#include "tests/support/tar_round_trip.h"

#include <gtest/gtest.h>

#include <random>

namespace towline::syncfs {
namespace {

using test::bytes_of;
using SnapshotPtr = std::shared_ptr<const Snapshot>;

constexpr std::uint64_t kSizeMax = 64 << 20;
constexpr int kLevel = 3;

BlobId random_id(std::mt19937_64& random) { return blob_id_of(bytes_of(std::to_string(random()))); }

Member directory(const std::string& path) {
  Member member;
  member.entry.path = path;
  member.entry.type = EntryType::kDirectory;
  member.entry.mode = 0755;
  member.attributes.mtime_seconds = 1'700'000'000;
  member.header.dialect = kGoUstar;
  return member;
}

Member file(const std::string& path, std::mt19937_64& random) {
  Member member;
  member.entry.path = path;
  member.entry.mode = 0644;
  member.entry.size = random() % 30'000;
  member.entry.blob = random_id(random);
  member.attributes.mtime_seconds = 1'700'000'000 - static_cast<int>(random() % 1000);
  member.header.dialect = kGoUstar;
  return member;
}

void sort_as_walked(std::vector<Member>& members) {
  std::stable_sort(members.begin(), members.end(), [](const Member& a, const Member& b) {
    return walks_before(a.entry.path, b.entry.path);
  });
}

/// 1,583 files in 120 directories, 700 of them below "src"; in walk order.
std::vector<Member> source_tree() {
  std::mt19937_64 random(1);
  static const char* const kWords[] = {"server", "client", "config", "test", "util", "cluster"};
  std::vector<Member> members;
  for (int d = 0; d < 120; ++d) {
    const bool below_src = d >= 50 && d < 103;
    const std::string number = std::to_string(100 + d);
    const std::string dir = below_src ? "src/part" + number : "mod" + number;
    if (d == 50) members.push_back(directory("src"));
    members.push_back(directory(dir));
    const int files = below_src ? (d == 50 ? 24 : 13) : (d == 0 ? 25 : 13);
    for (int f = 0; f < files; ++f) {
      const std::string word = kWords[random() % 6];
      members.push_back(file(dir + "/" + word + "_" + std::to_string(100 + f) + ".c", random));
    }
  }
  sort_as_walked(members);
  return members;
}

std::string update(const SnapshotPtr& base, const SnapshotPtr& next) {
  return Snapshot::encode_update(base.get(), *next, kLevel);
}

void expect_applies(const SnapshotPtr& base, const SnapshotPtr& next, const std::string& encoded) {
  const auto result = Snapshot::apply_update(base.get(), bytes_of(encoded), next->id(), kSizeMax);
  ASSERT_TRUE(result) << result.error().message();
  EXPECT_EQ((*result)->id(), next->id());
  EXPECT_EQ((*result)->tree(), next->tree());
  EXPECT_EQ((*result)->tail(), next->tail());
  EXPECT_TRUE((*result)->members() == next->members());
}

TEST(SnapshotUpdateTest, CostsBytesByTheChange) {
  const std::vector<Member> members = source_tree();
  const Snapshot::Tail tail{.unpadded = false, .zeros = 1024, .rest = {}, .rest_size = 0};
  const auto files =
      static_cast<std::size_t>(std::count_if(members.begin(), members.end(), [](const Member& m) {
        return m.entry.type == EntryType::kFile;
      }));
  ASSERT_GE(files, 1583u);
  const SnapshotPtr base = Snapshot::make(members, tail);
  std::mt19937_64 random(2);

  auto one_blob = members;
  one_blob[members.size() / 2].entry.blob = random_id(random);
  auto one_edit = one_blob;
  one_edit[members.size() / 2].entry.size += 17;
  one_edit[members.size() / 2].attributes.mtime_seconds += 4242;
  auto renamed = members;
  for (Member& m : renamed) {
    if (m.entry.path == "src" || m.entry.path.starts_with("src/")) m.entry.path.insert(0, "new_");
  }
  sort_as_walked(renamed);
  auto touched = members;
  for (Member& m : touched) {
    m.attributes.mtime_seconds = 1'700'100'000 + static_cast<int>(random() % 60);
  }
  auto added = members;
  added.insert(added.begin() + 200, file(members[199].entry.path + "x", random));
  auto removed = members;
  removed.erase(removed.begin() + 300);

  struct Case {
    const char* why;
    SnapshotPtr base;
    SnapshotPtr next;
    std::size_t size_max;
  };
  const Case cases[] = {
      {"nothing changed", base, base, 64},
      {"one blob id", base, Snapshot::make(one_blob, tail), 400},
      {"one file edited: id, size and time", base, Snapshot::make(one_edit, tail), 400},
      {"a directory of 700 files renamed", base, Snapshot::make(renamed, tail), 4000},
      {"all times changed within a minute", base, Snapshot::make(touched, tail), 8 * files},
      {"a file added", base, Snapshot::make(added, tail), 500},
      {"a file removed", base, Snapshot::make(removed, tail), 500},
      {"everything, from nothing", nullptr, base, 60 * files},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    const std::string encoded = update(c.base, c.next);
    EXPECT_LT(encoded.size(), c.size_max);
    std::cout << c.why << ": " << encoded.size() << " bytes\n";
    expect_applies(c.base, c.next, encoded);
  }
}

}  // namespace
}  // namespace towline::syncfs
