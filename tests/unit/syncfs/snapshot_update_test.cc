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

  const auto edited = static_cast<std::size_t>(
      std::find_if(members.begin() + 800, members.end(),
                   [](const Member& m) { return m.entry.blob.has_value(); }) -
      members.begin());
  auto one_blob = members;
  one_blob[edited].entry.blob = random_id(random);
  auto one_edit = one_blob;
  one_edit[edited].entry.size += 17;
  one_edit[edited].attributes.mtime_seconds += 4242;
  auto renamed = members;
  for (Member& m : renamed) {
    if (m.entry.path == "src" || m.entry.path.starts_with("src/")) m.entry.path.insert(0, "all_");
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

TEST(SnapshotUpdateTest, GoesToAndFromAnEmptySnapshotAndBackToASubtree) {
  const SnapshotPtr empty = Snapshot::make({}, {});
  const SnapshotPtr full = Snapshot::make(source_tree(), {});
  std::vector<Member> part;
  for (Member m : source_tree()) {
    if (!m.entry.path.starts_with("src/")) continue;
    m.entry.path.erase(0, 4);
    part.push_back(std::move(m));
  }
  const SnapshotPtr subtree = Snapshot::make(std::move(part), {});  // its root is a node of `full`
  for (const SnapshotPtr& base : {SnapshotPtr(), empty, full, subtree}) {
    for (const SnapshotPtr& next : {empty, full, subtree}) {
      expect_applies(base, next, update(base, next));
    }
  }
}

TEST(SnapshotUpdateTest, IsDeterministicAndCarriesAChangeOfTheTailAlone) {
  const SnapshotPtr base = Snapshot::make(source_tree(), {});
  const SnapshotPtr next =
      Snapshot::make(source_tree(), {.unpadded = true, .zeros = 7, .rest = {}, .rest_size = 0});
  EXPECT_NE(base->id(), next->id());
  EXPECT_EQ(base->tree(), next->tree());
  EXPECT_EQ(update(base, next), update(base, next));
  expect_applies(base, next, update(base, next));
}

void expect_refused(const Snapshot* base, const std::string& encoded, const SnapshotId& expected,
                    Errc why, std::uint64_t size_max = kSizeMax) {
  const auto result = Snapshot::apply_update(base, bytes_of(encoded), expected, size_max);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error(), why) << result.error().message();
}

TEST(SnapshotUpdateTest, RefusesEveryCutOffAndEveryFlippedBit) {
  std::vector<Member> members = source_tree();
  members.resize(60);
  const SnapshotPtr base = Snapshot::make(members, {});
  members[40].entry.size += 1;
  members[41].header = {kHeaderKept, "kept", ""};
  members[42].entry.path = "../stray";
  const SnapshotPtr next = Snapshot::make(members, {});
  for (const SnapshotPtr& from : {SnapshotPtr(), base}) {
    const std::string good = update(from, next);
    for (std::size_t size = 0; size < good.size(); ++size) {
      EXPECT_FALSE(
          Snapshot::apply_update(from.get(), bytes_of(good.substr(0, size)), next->id(), kSizeMax));
    }
    for (std::size_t bit = 0; bit < good.size() * 8; bit += (from ? 3 : 13)) {
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      const auto result = Snapshot::apply_update(from.get(), bytes_of(bad), next->id(), kSizeMax);
      // A bit may mean nothing (of zstd's), but never give anything else.
      EXPECT_TRUE(!result || (*result)->id() == next->id());
    }
    expect_refused(from.get(), good + "x", next->id(), Errc::malformed);
    expect_refused(from.get(), good, base->tree(), Errc::malformed);
  }
  expect_refused(nullptr, update(base, next), next->id(), Errc::malformed);
}

TEST(SnapshotUpdateTest, RefusesToExpandBeyondItsLimit) {
  const SnapshotPtr next = Snapshot::make(source_tree(), {});
  const std::string good = update(nullptr, next);
  expect_refused(nullptr, good, next->id(), Errc::too_large, 1000);
  expect_refused(nullptr, good, next->id(), Errc::too_large, 200'000);
}

/// An update put together by hand, with nodes that no encoder would make.
std::string forged(const std::vector<std::string>& facts, const std::string& references_and_ids,
                   std::uint64_t claimed = 0) {
  std::string nodes;
  append_varint(nodes, facts.size());
  for (const std::string& node : facts) append_sized(nodes, node);
  const std::string attributes("\0\0\0\0\0\0\0\0", 8);
  std::string sized_attributes;
  append_sized(sized_attributes, attributes);
  std::string form;
  append_sized(form, std::string("\0\0\0\0\1\1\1\0\0\1", 10));
  const std::vector<std::string> sections = {nodes, sized_attributes, form, references_and_ids};
  UpdateHead head;
  head.attributes = head.form = true;
  for (const std::string& section : sections) head.payload_size += section.size();
  if (claimed != 0) head.payload_size = claimed;
  std::string out;
  append_update_head(out, head);
  return out + compress_sections(sections, {}, kLevel);
}

std::string entry_facts(const std::string& name, EntryType type) {
  std::string facts;
  append_sized(facts, name);
  facts += static_cast<char>(type);
  append_varint(facts, 0755);
  return facts;
}

TEST(SnapshotUpdateTest, RefusesForgedTrees) {
  const auto fifo = [](const std::string& name) { return entry_facts(name, EntryType::kFifo); };
  const std::string id(32, 'i');
  // 2^40 entries in 41 nodes: each has the one before twice.
  std::vector<std::string> bomb = {fifo("x")};
  std::string bomb_references;
  for (int i = 0; i < 40; ++i) {
    bomb.push_back(entry_facts("a", EntryType::kDirectory) +
                   entry_facts("b", EntryType::kDirectory));
    bomb_references += "\1\1";
  }
  std::vector<std::string> deep = {fifo("x")};
  for (int i = 0; i < 1000; ++i) deep.push_back(entry_facts("d", EntryType::kDirectory));
  struct Case {
    const char* why;
    std::string update;
    Errc error;
  };
  const Case cases[] = {
      {"nothing", "", Errc::malformed},
      {"another version", "\x63", Errc::malformed},
      {"a name with a slash", forged({fifo("a/b")}, ""), Errc::malformed},
      {"dots", forged({fifo("..")}, ""), Errc::malformed},
      {"one dot", forged({fifo(".")}, ""), Errc::malformed},
      {"an empty name", forged({fifo("")}, ""), Errc::malformed},
      {"a NUL", forged({fifo(std::string("a\0b", 3))}, ""), Errc::malformed},
      {"an unknown type", forged({std::string("\1a\x09\0", 4)}, ""), Errc::malformed},
      {"unknown bits", forged({std::string("\1a\x86\0", 4)}, ""), Errc::malformed},
      {"a fifo that is implied", forged({std::string("\1a\x46", 3)}, ""), Errc::malformed},
      {"a directory that is nowhere",
       forged({entry_facts("d", EntryType::kDirectory)}, std::string(1, '\0') + id),
       Errc::malformed},
      {"a reference before the first node", forged({entry_facts("d", EntryType::kDirectory)}, "\1"),
       Errc::malformed},
      {"an id too few", forged({entry_facts("d", EntryType::kDirectory)}, std::string(1, '\0')),
       Errc::malformed},
      {"an id too many", forged({fifo("a")}, id), Errc::malformed},
      {"no root", forged({}, ""), Errc::malformed},
      {"names out of order", forged({fifo("b") + fifo("a")}, ""), Errc::malformed},
      {"a payload said to be longer", forged({fifo("a")}, "", 5000), Errc::malformed},
      {"a payload said to be huge", forged({fifo("a")}, "", UINT64_MAX), Errc::too_large},
      {"a bomb of shared directories", forged(bomb, bomb_references), Errc::too_large},
      {"directories too deep", forged(deep, std::string(1000, '\1')), Errc::malformed},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    expect_refused(nullptr, c.update, BlobId(BlobId::Bytes{}), c.error);
  }
}

TEST(SnapshotUpdateTest, AForgedUpdateThatIsSoundIsOnlyRefusedForItsId) {
  // Guards the table above: its parts are right but for what each row breaks.
  std::vector<Member> members(1);
  members[0].entry.path = "a";
  members[0].entry.type = EntryType::kFifo;
  members[0].entry.mode = 0755;
  members[0].header.dialect = kGoUstar;
  const SnapshotPtr snapshot = Snapshot::make(members, {});
  const std::string update = forged({entry_facts("a", EntryType::kFifo)}, "");
  EXPECT_TRUE(Snapshot::apply_update(nullptr, bytes_of(update), snapshot->id(), kSizeMax));
}

}  // namespace
}  // namespace towline::syncfs
