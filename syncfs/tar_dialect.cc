#include "syncfs/tar_dialect.h"

#include "syncfs/tar_block.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace towline::syncfs {
namespace {

enum class LongNames { kUstar, kUstarFirstSplit, kGnu, kGoPax, kPythonPax, kGnuPax };
enum class PythonTime { kWhole, kRound, kTruncate };

/// What tells one writer from another.
struct Style {
  LongNames long_names;
  bool devices_always;  // zeros for what is no device
  bool type_bits;       // file type in the mode field
  bool gnu_longlink;    // GNU tar's own kind of long name header: 0644, root
  PythonTime python_time;
};

constexpr Style kStyles[kTarDialects] = {
    /* kHeaderKept */ {LongNames::kUstar, false, false, false, PythonTime::kWhole},
    /* kGoUstar */ {LongNames::kUstar, true, false, false, PythonTime::kWhole},
    /* kGoPax */ {LongNames::kGoPax, true, false, false, PythonTime::kWhole},
    /* kPythonGnu */ {LongNames::kGnu, false, false, false, PythonTime::kWhole},
    /* kPythonPax */ {LongNames::kPythonPax, false, false, false, PythonTime::kRound},
    /* kGnuGnu */ {LongNames::kGnu, false, false, true, PythonTime::kWhole},
    /* kGnuPosix */ {LongNames::kGnuPax, true, false, false, PythonTime::kWhole},
    /* kGoUstarTypeBits */ {LongNames::kUstar, true, true, false, PythonTime::kWhole},
    /* kGoPaxTypeBits */ {LongNames::kGoPax, true, true, false, PythonTime::kWhole},
    /* kPythonPaxWhole */ {LongNames::kPythonPax, false, false, false, PythonTime::kWhole},
    /* kPythonPaxTruncate */ {LongNames::kPythonPax, false, false, false, PythonTime::kTruncate},
    /* kPythonUstar */ {LongNames::kUstarFirstSplit, false, false, false, PythonTime::kWhole},
};

/// The main header's fields as they are to be written; extended headers change them.
struct Draft {
  std::string name;
  std::string prefix;
  std::string link;
  std::string uname;
  std::string gname;
  std::int64_t uid = 0;
  std::int64_t gid = 0;
  std::int64_t size = 0;
  std::int64_t mtime = 0;
};

char type_flag(EntryType type) {
  switch (type) {
    case EntryType::kFile:
      return '0';
    case EntryType::kHardLink:
      return '1';
    case EntryType::kSymlink:
      return '2';
    case EntryType::kCharDevice:
      return '3';
    case EntryType::kBlockDevice:
      return '4';
    case EntryType::kDirectory:
      return '5';
    case EntryType::kFifo:
      return '6';
  }
  return '0';
}

std::int64_t type_bits(EntryType type) {
  switch (type) {
    case EntryType::kFile:
    case EntryType::kHardLink:
      return 0100000;
    case EntryType::kSymlink:
      return 0120000;
    case EntryType::kCharDevice:
      return 0020000;
    case EntryType::kBlockDevice:
      return 0060000;
    case EntryType::kDirectory:
      return 0040000;
    case EntryType::kFifo:
      return 0010000;
  }
  return 0;
}

bool is_device(EntryType type) {
  return type == EntryType::kCharDevice || type == EntryType::kBlockDevice;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool fits_octal(std::int64_t value, std::size_t field_size) {
  return value >= 0 && (value >> (3 * (field_size - 1))) == 0;
}

Draft draft_of(const Member& member, bool dot_slash) {
  const TarExtra extra = TarExtra::decode(member.header.extra);
  Draft draft;
  draft.name.reserve(member.entry.path.size() + 3);
  if (dot_slash) draft.name += "./";
  draft.name += member.entry.path;
  if (member.entry.type == EntryType::kDirectory) draft.name += '/';
  draft.link = member.entry.link_target;
  draft.uname = extra.uname;
  draft.gname = extra.gname;
  draft.uid = member.attributes.uid;
  draft.gid = member.attributes.gid;
  draft.size = static_cast<std::int64_t>(member.entry.size);
  draft.mtime = member.attributes.mtime_seconds;
  return draft;
}

bool append_main(const Member& member, const Style& style, const Draft& draft, std::string& out) {
  const bool gnu = style.long_names == LongNames::kGnu;
  const Entry& entry = member.entry;
  TarBlockWriter block;
  const auto number = [&](TarField field, std::int64_t value) {
    if (!gnu) return block.octal(field, value);
    block.octal_or_base256(field, value);
    return true;
  };
  block.text(kTarName, draft.name);
  bool ok = block.octal(kTarMode, entry.mode + (style.type_bits ? type_bits(entry.type) : 0));
  ok = number(kTarUid, draft.uid) && number(kTarGid, draft.gid) && ok;
  ok = number(kTarSize, draft.size) && number(kTarMtime, draft.mtime) && ok;
  const char flag = type_flag(entry.type);
  block.text(kTarType, {&flag, 1});
  block.text(kTarLink, draft.link);
  block.text(kTarMagic, gnu ? kMagicGnu : kMagicPosix);
  block.text(kTarUname, draft.uname);
  block.text(kTarGname, draft.gname);
  if (style.devices_always || is_device(entry.type)) {
    ok = number(kTarMajor, entry.device_major) && number(kTarMinor, entry.device_minor) && ok;
  }
  block.text(kTarPrefix, draft.prefix);
  block.append_to(out);
  return ok;
}

// The block before an extended header's body, which is appended as well.
void append_extended(std::string_view name, char flag, std::string_view body, std::int64_t mtime,
                     const Style& style, std::string& out) {
  const bool gnu_tar = style.gnu_longlink || style.long_names == LongNames::kGnuPax;
  TarBlockWriter block;
  block.text(kTarName, name);
  block.octal(kTarMode, gnu_tar ? 0644 : 0);
  block.octal(kTarUid, 0);
  block.octal(kTarGid, 0);
  block.octal(kTarSize, static_cast<std::int64_t>(body.size()));
  block.octal(kTarMtime, mtime);
  block.text(kTarType, {&flag, 1});
  block.text(kTarMagic, style.long_names == LongNames::kGnu ? kMagicGnu : kMagicPosix);
  if (style.gnu_longlink) {
    block.text(kTarUname, "root");
    block.text(kTarGname, "root");
  }
  block.append_to(out);
  append_padded(out, body);
}

// Go and GNU tar: the longest prefix that fits.
bool split_last(Draft& draft) {
  const std::string& name = draft.name;
  if (name.size() <= kTarName.size) return true;
  std::size_t length = name.size();
  if (length > kTarPrefix.size + 1) {
    length = kTarPrefix.size + 1;
  } else if (name.back() == '/') {
    --length;
  }
  const std::size_t slash = name.rfind('/', length - 1);
  if (slash == name.npos || slash == 0 || slash > kTarPrefix.size) return false;
  if (name.size() - slash - 1 > kTarName.size || slash + 1 == name.size()) return false;
  draft.prefix = name.substr(0, slash);
  draft.name.erase(0, slash + 1);
  return true;
}

// Python: the shortest prefix that leaves a short enough name.
bool split_first(Draft& draft) {
  const std::string& name = draft.name;
  if (name.size() <= kTarName.size) return true;
  for (std::size_t slash = name.find('/'); slash != name.npos; slash = name.find('/', slash + 1)) {
    if (slash > kTarPrefix.size) return false;
    if (name.size() - slash - 1 > kTarName.size) continue;
    draft.prefix = name.substr(0, slash);
    draft.name.erase(0, slash + 1);
    return true;
  }
  return false;
}

bool ustar(const Member& member, const Style& style, Draft draft, std::string& out) {
  if (draft.link.size() > kTarLink.size) return false;
  const bool last = style.long_names == LongNames::kUstar;
  const bool fits = last ? split_last(draft) : split_first(draft);
  return fits && append_main(member, style, draft, out);
}

bool gnu(const Member& member, const Style& style, const Draft& draft, std::string& out) {
  static constexpr std::string_view kName = "././@LongLink";
  const auto terminated = [](const std::string& text) {
    return std::string_view(text.c_str(), text.size() + 1);
  };
  if (draft.link.size() > kTarLink.size) {
    append_extended(kName, 'K', terminated(draft.link), 0, style, out);
  }
  if (draft.name.size() > kTarName.size) {
    append_extended(kName, 'L', terminated(draft.name), 0, style, out);
  }
  return append_main(member, style, draft, out);
}

// A field too small for its number is zero, and a record says it.
void move_number(std::int64_t& value, std::size_t field, std::string_view key,
                 PaxRecords& records) {
  if (fits_octal(value, field)) return;
  records.emplace(key, std::to_string(value));
  value = 0;
}

// Go drops what is not ASCII from a main header, and a slash that would end up last in a full
// field.
std::string go_text(std::string_view text, std::size_t field) {
  std::string ascii;
  std::copy_if(text.begin(), text.end(), std::back_inserter(ascii),
               [](char c) { return c != '\0' && static_cast<unsigned char>(c) < 0x80; });
  if (ascii.size() > field && ascii[field - 1] == '/') ascii.resize(field - 1);
  return ascii;
}

void move_go_text(std::string& text, std::size_t field, std::string_view key, PaxRecords& records) {
  if (text.size() > field || !is_ascii(text)) records.emplace(key, text);
  text = go_text(text, field);
}

// path.Join(dir, "PaxHeaders.0", file)
std::string go_extended_name(const std::string& name) {
  const std::size_t slash = name.rfind('/');
  std::string dir = slash == name.npos ? "" : name.substr(0, slash + 1);
  const std::string file = slash == name.npos ? name : name.substr(slash + 1);
  if (dir.starts_with("./")) dir.erase(0, 2);
  std::string joined = go_text(dir + "PaxHeaders.0" + (file.empty() ? "" : "/" + file), SIZE_MAX);
  joined.resize(std::min(joined.size(), kTarName.size));
  while (joined.ends_with('/')) joined.pop_back();
  return joined;
}

bool go_pax(const Member& member, const Style& style, Draft draft, std::string& out) {
  const std::string extended_name = go_extended_name(draft.name);
  PaxRecords records;
  for (const auto& [key, value] : member.entry.xattrs) {
    records.emplace("SCHILY.xattr." + key, value);
  }
  move_go_text(draft.name, kTarName.size, "path", records);
  move_go_text(draft.link, kTarLink.size, "linkpath", records);
  move_go_text(draft.uname, kTarUname.size, "uname", records);
  move_go_text(draft.gname, kTarGname.size, "gname", records);
  move_number(draft.uid, kTarUid.size, "uid", records);
  move_number(draft.gid, kTarGid.size, "gid", records);
  move_number(draft.size, kTarSize.size, "size", records);
  const std::uint32_t nanoseconds = member.attributes.mtime_nanoseconds;
  if (nanoseconds != 0 || !fits_octal(draft.mtime, kTarMtime.size)) {
    records.emplace("mtime", format_pax_seconds(draft.mtime, nanoseconds));
    if (!fits_octal(draft.mtime, kTarMtime.size)) draft.mtime = 0;
  }
  if (!records.empty()) {
    std::string body;
    for (const auto& [key, value] : records) append_pax_record(body, key, value);
    append_extended(extended_name, 'x', body, 0, style, out);
  }
  return append_main(member, style, draft, out);
}

// What str.encode("ascii", "replace") makes of it: one question mark a character.
std::string python_ascii(std::string_view text) {
  std::string ascii;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) ascii += c;
    if (byte >= 0xc0) ascii += '?';
  }
  return ascii;
}

void move_python_text(std::string& text, std::size_t field, std::string_view key,
                      std::string& body) {
  if (text.size() <= field && is_ascii(text)) return;
  append_pax_record(body, key, text);
  text = python_ascii(text);
}

void move_python_number(std::int64_t& value, std::size_t field, std::string_view key,
                        std::string& body) {
  if (fits_octal(value, field)) return;
  append_pax_record(body, key, std::to_string(value));
  value = 0;
}

// repr() of the float that the decimal digits say.
void move_python_time(std::int64_t& mtime, std::uint32_t nanoseconds, PythonTime how,
                      std::string& body) {
  const std::string decimal = format_pax_seconds(mtime, nanoseconds);
  double value = 0;
  std::from_chars(decimal.data(), decimal.data() + decimal.size(), value);
  char digits[400];  // the longest double in fixed notation
  const auto end =
      std::to_chars(digits, digits + sizeof digits, value, std::chars_format::fixed).ptr;
  std::string repr(digits, end);
  if (repr.find('.') == repr.npos) repr += ".0";
  append_pax_record(body, "mtime", repr);
  // Half to even, as round() in Python: the default rounding mode.
  mtime = static_cast<std::int64_t>(how == PythonTime::kRound ? std::nearbyint(value) : value);
  if (!fits_octal(mtime, kTarMtime.size)) mtime = 0;
}

bool python_pax(const Member& member, const Style& style, Draft draft, std::string& out) {
  std::string body;
  move_python_text(draft.name, kTarName.size, "path", body);
  move_python_text(draft.link, kTarLink.size, "linkpath", body);
  move_python_text(draft.uname, kTarUname.size, "uname", body);
  move_python_text(draft.gname, kTarGname.size, "gname", body);
  move_python_number(draft.uid, kTarUid.size, "uid", body);
  move_python_number(draft.gid, kTarGid.size, "gid", body);
  move_python_number(draft.size, kTarSize.size, "size", body);
  if (style.python_time == PythonTime::kWhole) {
    move_python_number(draft.mtime, kTarMtime.size, "mtime", body);
  } else {
    move_python_time(draft.mtime, member.attributes.mtime_nanoseconds, style.python_time, body);
  }
  if (!body.empty()) append_extended("././@PaxHeader", 'x', body, 0, style, out);
  return append_main(member, style, draft, out);
}

// "%d/PaxHeaders/%f"
std::string gnu_extended_name(std::string_view name) {
  if (name.ends_with('/')) name.remove_suffix(1);
  const std::size_t slash = name.rfind('/');
  const std::string dir(slash == name.npos ? "." : name.substr(0, slash));
  return dir + "/PaxHeaders/" + std::string(name.substr(slash == name.npos ? 0 : slash + 1));
}

bool gnu_pax(const Member& member, const Style& style, Draft draft, std::string& out) {
  std::string body;
  if (draft.link.size() > kTarLink.size || !is_ascii(draft.link)) {
    append_pax_record(body, "linkpath", draft.link);
  }
  if (draft.name.size() > kTarName.size || !is_ascii(draft.name)) {
    append_pax_record(body, "path", draft.name);
  }
  const std::uint32_t nanoseconds = member.attributes.mtime_nanoseconds;
  if (nanoseconds != 0 || !fits_octal(draft.mtime, kTarMtime.size)) {
    append_pax_record(body, "mtime", format_pax_seconds(draft.mtime, nanoseconds));
  }
  if (!fits_octal(draft.mtime, kTarMtime.size)) draft.mtime = 0;
  body += TarExtra::decode(member.header.extra).records;
  if (!body.empty()) {
    append_extended(gnu_extended_name(draft.name), 'x', body, draft.mtime, style, out);
  }
  return append_main(member, style, draft, out);
}

}  // namespace

bool is_tar_dialect(std::uint8_t dialect) {
  const std::uint8_t writer = dialect & static_cast<std::uint8_t>(~kDotSlash);
  return dialect == kHeaderKept || (writer != kHeaderKept && writer < kTarDialects);
}

bool write_tar_dialect(const Member& member, std::uint8_t dialect, std::string& out) {
  if (dialect == kHeaderKept || !is_tar_dialect(dialect)) return false;
  const Style& style = kStyles[dialect & static_cast<std::uint8_t>(~kDotSlash)];
  Draft draft = draft_of(member, (dialect & kDotSlash) != 0);
  switch (style.long_names) {
    case LongNames::kUstar:
    case LongNames::kUstarFirstSplit:
      return ustar(member, style, std::move(draft), out);
    case LongNames::kGnu:
      return gnu(member, style, draft, out);
    case LongNames::kGoPax:
      return go_pax(member, style, std::move(draft), out);
    case LongNames::kPythonPax:
      return python_pax(member, style, std::move(draft), out);
    case LongNames::kGnuPax:
      return gnu_pax(member, style, std::move(draft), out);
  }
  return false;
}

std::string TarExtra::encode() const {
  if (uname.empty() && gname.empty() && records.empty()) return {};
  std::string out = uname + '\0' + gname;
  if (!records.empty()) (out += '\0') += records;
  return out;
}

TarExtra TarExtra::decode(std::string_view extra) {
  TarExtra out;
  const std::size_t first = extra.find('\0');
  out.uname = extra.substr(0, first);
  if (first == extra.npos) return out;
  extra.remove_prefix(first + 1);
  const std::size_t second = extra.find('\0');
  out.gname = extra.substr(0, second);
  if (second != extra.npos) out.records = extra.substr(second + 1);
  return out;
}

std::optional<std::pair<std::int64_t, std::uint32_t>> parse_pax_seconds(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || seconds < 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  std::uint32_t nanoseconds = 0;
  if (!text.empty()) {
    if (text[0] != '.') return std::nullopt;
    text.remove_prefix(1);
    if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
      return std::nullopt;
    }
    for (std::size_t i = 0; i < 9; ++i) {
      nanoseconds = nanoseconds * 10 + (i < text.size() ? static_cast<unsigned>(text[i] - '0') : 0);
    }
  }
  if (!negative) return std::pair(seconds, nanoseconds);
  if (nanoseconds == 0) return std::pair(-seconds, 0u);
  return std::pair(-seconds - 1, 1'000'000'000u - nanoseconds);
}

std::string format_pax_seconds(std::int64_t seconds, std::uint32_t nanoseconds) {
  if (nanoseconds == 0) return std::to_string(seconds);
  const bool negative = seconds < 0;
  if (negative) {
    seconds = -(seconds + 1);
    nanoseconds = 1'000'000'000u - nanoseconds;
  }
  std::string fraction = std::to_string(nanoseconds);
  fraction.insert(0, 9 - std::min<std::size_t>(fraction.size(), 9), '0');
  while (fraction.ends_with('0')) fraction.pop_back();
  return (negative ? "-" : "") + std::to_string(seconds) + "." + fraction;
}

}  // namespace towline::syncfs
