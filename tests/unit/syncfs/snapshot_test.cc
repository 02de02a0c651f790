#include "syncfs/snapshot.h"

#include "syncfs/tar_dialect.h"
#include "syncfs/tree.h"
#include "tests/support/tar_round_trip.h"

#include <gtest/gtest.h>

namespace towline::syncfs {
namespace {

Member member(const std::string& path, EntryType type = EntryType::kFile,
              const std::string& content = "content") {
  Member m;
  m.entry.path = path;
  m.entry.type = type;
  m.entry.mode = 0644;
  if (type == EntryType::kFile) {
    m.entry.size = content.size();
    m.entry.blob = blob_id_of(test::bytes_of(content));
  }
  m.header.dialect = kGoUstar;
  return m;
}

TEST(SnapshotTest, FindsFilesByPathWhateverTheOrderOfTheTar) {
  const auto snapshot =
      Snapshot::make({member("b/c"), member("a-b"), member("a", EntryType::kDirectory),
                      member("a/b"), member("\xff"), member("l", EntryType::kFifo)},
                     {});
  EXPECT_EQ(snapshot->find("b/c"), 0u);
  EXPECT_EQ(snapshot->find("a-b"), 1u);
  EXPECT_EQ(snapshot->find("a/b"), 3u);
  EXPECT_EQ(snapshot->find("\xff"), 4u);
  for (const char* absent : {"a", "l", "b", "", "a/", "a/b/", "b/d", "zz"}) {
    EXPECT_EQ(snapshot->find(absent), std::nullopt) << absent;
  }
}

TEST(SnapshotTest, OnlyWhatTheTreeSaysChangesTheTreesId) {
  const std::vector<Member> members = {member("d", EntryType::kDirectory), member("d/a"),
                                       member("d/b")};
  const auto base = Snapshot::make(members, {});
  struct Case {
    const char* why;
    bool tree;  // whether its id changes
    void (*change)(std::vector<Member>&);
  };
  const Case cases[] = {
      {"time", false, [](auto& m) { m[1].attributes.mtime_seconds = 5; }},
      {"nanoseconds", false, [](auto& m) { m[1].attributes.mtime_nanoseconds = 5; }},
      {"owner", false, [](auto& m) { m[1].attributes.uid = 5; }},
      {"group", false, [](auto& m) { m[1].attributes.gid = 5; }},
      {"order", false, [](auto& m) { std::swap(m[1], m[2]); }},
      {"dialect", false, [](auto& m) { m[1].header.dialect = kPythonGnu; }},
      {"user names", false, [](auto& m) { m[1].header.extra = "root"; }},
      {"a header that is kept", false, [](auto& m) { m[1].header = {kHeaderKept, "raw", ""}; }},
      {"name", true, [](auto& m) { m[1].entry.path = "d/c"; }},
      {"mode", true, [](auto& m) { m[1].entry.mode = 0755; }},
      {"content", true, [](auto& m) { m[1].entry.blob = blob_id_of({}); }},
      {"no content yet", true, [](auto& m) { m[1].entry.blob.reset(); }},
      {"size", true, [](auto& m) { m[1].entry.size = 3; }},
      {"type", true, [](auto& m) { m[1] = member("d/a", EntryType::kFifo); }},
      {"xattrs", true, [](auto& m) { m[1].entry.xattrs = {{"security.capability", "x"}}; }},
      {"a file less", true, [](auto& m) { m.pop_back(); }},
      {"no member for the directory", true, [](auto& m) { m.erase(m.begin()); }},
      {"mode of the directory", true, [](auto& m) { m[0].entry.mode = 0700; }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    auto changed = members;
    c.change(changed);
    const auto next = Snapshot::make(changed, {});
    EXPECT_NE(next->id(), base->id());
    EXPECT_EQ(next->tree() != base->tree(), c.tree);
    EXPECT_EQ(Snapshot::make(changed, {})->id(), next->id());
  }
}

TEST(SnapshotTest, EveryPartOfTheTailChangesTheId) {
  const BlobId rest = blob_id_of({});
  const Snapshot::Tail tails[] = {
      {.unpadded = false, .zeros = 0, .rest = {}, .rest_size = 0},
      {.unpadded = true, .zeros = 0, .rest = {}, .rest_size = 0},
      {.unpadded = false, .zeros = 1024, .rest = {}, .rest_size = 0},
      {.unpadded = false, .zeros = 0, .rest = rest, .rest_size = 9},
      {.unpadded = false, .zeros = 0, .rest = rest, .rest_size = 8},
  };
  for (const auto& a : tails) {
    for (const auto& b : tails) {
      EXPECT_EQ(Snapshot::make({}, a)->id() == Snapshot::make({}, b)->id(), a == b);
    }
  }
}

TEST(SnapshotTest, MembersThatNoTreeCanHoldCountForTheTarAlone) {
  const auto plain = Snapshot::make({member("a"), member("d/b")}, {});
  struct Case {
    const char* why;
    Member stray;
    std::size_t place;
  };
  const Case cases[] = {
      {"an earlier member of the same path", member("a", EntryType::kFile, "old"), 0},
      {"an earlier member of another type", member("a", EntryType::kSymlink), 0},
      {"below a file", member("a/x"), 2},
      {"far below a file", member("a/x/y/z"), 1},
      {"leads out", member("../a"), 1},
      {"the root", member("", EntryType::kDirectory), 0},
      {"too deep", member([] {
         std::string path = "p";
         for (std::size_t i = 0; i < kTreeDepthMax; ++i) path += "/p";
         return path;
       }()),
       2},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    std::vector<Member> members = plain->members();
    members.insert(members.begin() + static_cast<std::ptrdiff_t>(c.place), c.stray);
    const auto snapshot = Snapshot::make(members, {});
    EXPECT_EQ(snapshot->tree(), plain->tree());
    EXPECT_NE(snapshot->id(), plain->id());
    EXPECT_EQ(snapshot->members().size(), 3u);
    EXPECT_EQ(snapshot->find("a"), c.place == 0 ? 1u : 0u);
    const std::string update = Snapshot::encode_update(nullptr, *snapshot, 3);
    const auto back =
        Snapshot::apply_update(nullptr, test::bytes_of(update), snapshot->id(), 1 << 20);
    ASSERT_TRUE(back);
    EXPECT_TRUE((*back)->members() == snapshot->members());
  }
}

TEST(SnapshotTest, PathsSortAsADepthFirstWalkVisitsThem) {
  const char* const walk[] = {"a",   "a/b", "a/b/c", "a/c", "a!",
                              "a-b", "a.b", "a0",    "b",   "\xc3\xa9"};
  for (std::size_t i = 0; i < std::size(walk); ++i) {
    for (std::size_t j = 0; j < std::size(walk); ++j) {
      EXPECT_EQ(walks_before(walk[i], walk[j]), i < j) << walk[i] << " " << walk[j];
    }
  }
}

}  // namespace
}  // namespace towline::syncfs
