#include "syncfs/tar_header.h"

#include "protocol/error.h"
#include "syncfs/tar_block.h"
#include "syncfs/tar_dialect.h"

#include <gtest/gtest.h>

namespace towline::syncfs {
namespace {

Member make_member(const std::string& path) {
  Member member;
  member.entry.path = path;
  member.entry.mode = 0644;
  member.attributes.mtime_seconds = 1'700'000'000;
  return member;
}

std::string written(const Member& member, std::uint8_t dialect) {
  std::string out;
  EXPECT_TRUE(write_tar_dialect(member, dialect, out));
  return out;
}

TEST(TarHeaderTest, WhatADialectWritesIsParsedAndFormedByItAgain) {
  Member big = make_member("big");
  big.entry.size = 9ull << 30;
  big.attributes.uid = 3'000'000;
  big.attributes.gid = 4'000'000;
  Member capable = make_member("bin/ping");
  capable.entry.xattrs = {{"security.capability", std::string("\1\0\0\2 \0", 6)}};
  Member old = make_member("old");
  old.attributes.mtime_seconds = -2;
  old.attributes.mtime_nanoseconds = 500'000'000;
  Member half = make_member("half");
  half.attributes.mtime_nanoseconds = 500'000'000;
  Member device = make_member("dev");
  device.entry.type = EntryType::kCharDevice;
  device.entry.device_major = 1;
  device.entry.device_minor = 3;
  Member names = make_member("names");
  names.header.extra = TarExtra{"us\xc3\xa9r", "group", ""}.encode();
  Member directory = make_member("caf\xc3\xa9/" + std::string(120, 'd'));
  directory.entry.type = EntryType::kDirectory;
  Member link = make_member("link");
  link.entry.type = EntryType::kSymlink;
  link.entry.link_target = std::string(150, 't') + "/\xc3\xa9";
  const struct {
    const char* why;
    Member member;
    std::vector<int> dialects;
  } cases[] = {
      {"plain", make_member("a/b"), {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
      {"numbers too large for ustar", big, {2, 3, 4, 5, 8, 9, 10}},
      {"a capability", capable, {2, 8}},
      {"half a second before 1970", old, {2, 4, 6, 8, 10}},
      {"a half, which Python rounds to even", half, {2, 4, 6, 8, 10}},
      {"a device", device, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
      {"user names", names, {1, 2, 3, 4, 5, 7, 8, 9, 10, 11}},
      {"a long name beyond ASCII", directory, {2, 3, 4, 5, 6, 8, 9, 10}},
      {"a long link", link, {2, 3, 4, 5, 6, 8, 9, 10}},
  };
  for (const auto& c : cases) {
    for (const int dialect : c.dialects) {
      for (const int variant : {0, static_cast<int>(kDotSlash)}) {
        SCOPED_TRACE(std::string(c.why) + ", dialect " + std::to_string(dialect | variant));
        const std::string raw = written(c.member, static_cast<std::uint8_t>(dialect | variant));
        auto parsed = parse_tar_header(raw);
        ASSERT_TRUE(parsed);
        EXPECT_EQ(parsed->entry, c.member.entry);
        EXPECT_EQ(parsed->attributes.uid, c.member.attributes.uid);
        EXPECT_EQ(parsed->attributes.mtime_seconds, c.member.attributes.mtime_seconds);
        EXPECT_EQ(parsed->header.extra, c.member.header.extra);
        // Another dialect may write the very same; none needs the bytes.
        EXPECT_NE(form_tar_header(*parsed, raw, kHeaderKept), kHeaderKept);
        EXPECT_EQ(make_tar_header(*parsed), raw);
        auto hinted = parse_tar_header(raw);
        EXPECT_EQ(form_tar_header(*hinted, raw, static_cast<std::uint8_t>(dialect | variant)),
                  dialect | variant);
      }
    }
  }
}

TEST(TarHeaderTest, AHeaderOfNoDialectIsKept) {
  std::string raw = written(make_member("a"), kGoUstar);
  raw[155] = '\0';  // libarchive and others end the checksum otherwise
  auto parsed = parse_tar_header(raw);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(form_tar_header(*parsed, raw, kGoUstar), kHeaderKept);
  EXPECT_EQ(parsed->header.kept, raw);
  EXPECT_EQ(make_tar_header(*parsed), raw);
}

TEST(TarHeaderTest, NormalisesNamesForTheTree) {
  const struct {
    const char* name;
    const char* path;
  } cases[] = {{"a", "a"},         {"./a", "a"},       {"././a/", "a"},   {"/a", "a"},
               {"a//b", "a/b"},    {"a/./b", "a/b"},   {"a/.", "a"},      {".", ""},
               {"./", ""},         {"/", ""},          {"", ""},          {".a", ".a"},
               {"a./b.", "a./b."}, {"..", ".."},       {"../a", "../a"},  {"a/../b", "a/../b"},
               {"...", "..."},     {"a/b..", "a/b.."}, {"..a/b", "..a/b"}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    auto parsed = parse_tar_header(written(make_member(c.name), kGoUstar));
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->entry.path, c.path);
  }
}

std::string with_records(const std::string& records) {
  TarBlockWriter block;
  block.text(kTarName, "x");
  block.octal(kTarSize, static_cast<std::int64_t>(records.size()));
  block.text(kTarType, "x");
  block.text(kTarMagic, kMagicPosix);
  std::string out;
  block.append_to(out);
  append_padded(out, records);
  return out + written(make_member("a"), kGoUstar);
}

TEST(TarHeaderTest, RefusesMalformedExtendedHeaders) {
  const struct {
    const char* records;
    bool good;
  } cases[] = {{"", true},
               {"6 a=b\n", true},
               {"5 a=\n", true},
               {"10 size=1\n", true},
               {"10 size=x\n", false},
               {"11 size=-1\n", false},
               {"10 mtime=\n", true},
               {"13 mtime=1.5\n", true},
               {"13 mtime=1,5\n", false},
               {"7 a=b\n", false},
               {"5 a=b\n", false},
               {"6 a=b", false},
               {"4 =\n", false},
               {"a=b\n", false},
               {"99999999999999999999999 a=b\n", false},
               {"22 GNU.sparse.major=1\n", false}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.records);
    EXPECT_EQ(parse_tar_header(with_records(c.records)).has_value(), c.good);
  }
}

TEST(TarHeaderTest, PaxSecondsAreExactToTheNanosecond) {
  const struct {
    const char* text;
    std::int64_t seconds;
    std::uint32_t nanoseconds;
    const char* again;
  } cases[] = {{"0", 0, 0, "0"},
               {"1700000000.123456789", 1'700'000'000, 123'456'789, "1700000000.123456789"},
               {"1.5", 1, 500'000'000, "1.5"},
               {"1.000000001", 1, 1, "1.000000001"},
               {"1.0", 1, 0, "1"},
               {"1.0000000009", 1, 0, "1"},
               {"-1", -1, 0, "-1"},
               {"-1.5", -2, 500'000'000, "-1.5"},
               {"-0.25", -1, 750'000'000, "-0.25"}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.text);
    const auto parsed = parse_pax_seconds(c.text);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(*parsed, std::pair(c.seconds, c.nanoseconds));
    EXPECT_EQ(format_pax_seconds(c.seconds, c.nanoseconds), c.again);
  }
  for (const char* bad : {"", "-", ".5", "x", "1.x", "1e5", "--1", "99999999999999999999"}) {
    EXPECT_FALSE(parse_pax_seconds(bad)) << bad;
  }
}

TEST(TarHeaderTest, NumbersAreOctalOrBase256) {
  const auto number = [](std::string_view field) { return tar_number(field, {0, field.size()}); };
  EXPECT_EQ(number(std::string_view("0000644\0", 8)), 0644);
  EXPECT_EQ(number(" 644 \0 "), 0644);
  EXPECT_EQ(number("        "), 0);
  EXPECT_EQ(number("77777777"), 077777777);
  EXPECT_EQ(number(std::string_view("\x80\0\0\0\0\0\x01\x02", 8)), 258);
  EXPECT_EQ(number("\xff\xff\xff\xff\xff\xff\xff\xfe"), -2);
  EXPECT_EQ(number(std::string_view("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12)), INT64_MAX);
  EXPECT_EQ(number(std::string_view("\x80\0\0\0\x80\0\0\0\0\0\0\0", 12)), std::nullopt);
  EXPECT_EQ(number("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), std::nullopt);
  EXPECT_EQ(number("0000648"), std::nullopt);
  EXPECT_EQ(number("-000001"), std::nullopt);
}

TEST(TarHeaderTest, MakingAHeaderThatItsDialectCannotWriteIsAnErrorNamingThePath) {
  Member member = make_member(std::string(300, 'n'));
  member.header.dialect = kGoUstar;
  try {
    make_tar_header(member);
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::malformed);
    EXPECT_NE(std::string(e.what()).find("nnn"), std::string::npos);
  }
}

}  // namespace
}  // namespace towline::syncfs
