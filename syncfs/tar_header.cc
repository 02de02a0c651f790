#include "syncfs/tar_header.h"

#include "syncfs/tar_block.h"
#include "syncfs/tar_dialect.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <limits>

namespace towline::syncfs {
namespace {

constexpr std::string_view kXattrKey = "SCHILY.xattr.";

/// The extended headers before a main header.
struct Extended {
  PaxRecords records;
  std::optional<std::string> long_name;
  std::optional<std::string> long_link;
};

std::optional<EntryType> type_of(char flag) {
  switch (flag) {
    case '\0':
    case '0':
    case '7':
      return EntryType::kFile;
    case '1':
      return EntryType::kHardLink;
    case '2':
      return EntryType::kSymlink;
    case '3':
      return EntryType::kCharDevice;
    case '4':
      return EntryType::kBlockDevice;
    case '5':
      return EntryType::kDirectory;
    case '6':
      return EntryType::kFifo;
    default:
      return std::nullopt;
  }
}

bool is_extension(char flag) { return flag == 'x' || flag == 'g' || flag == 'L' || flag == 'K'; }

std::string_view until_nul(std::string_view text) { return text.substr(0, text.find('\0')); }

// Drops empty and "." components; what cannot be made relative this way stays as it is.
std::string normalised(const std::string& name) {
  const bool canonical = !name.empty() && name.front() != '/' && name.back() != '/' &&
                         name.find("./") == name.npos && name.find("//") == name.npos;
  if (canonical && name != "." && !name.ends_with("/.")) return name;
  std::string path;
  for (std::size_t start = 0; start < name.size();) {
    const std::size_t end = std::min(name.find('/', start), name.size());
    const std::string_view part = std::string_view(name).substr(start, end - start);
    if (part == "..") return name;
    if (!part.empty() && part != ".") {
      if (!path.empty()) path += '/';
      path += part;
    }
    start = end + 1;
  }
  return path;
}

bool take_extended(char flag, std::string_view body, Extended& extended) {
  if (flag == 'L') extended.long_name = until_nul(body);
  if (flag == 'K') extended.long_link = until_nul(body);
  if (flag != 'x') return true;  // global records: no effect, as in Go's reader
  auto records = parse_pax_records(body);
  if (!records) return false;
  // An empty value takes a record back.
  std::erase_if(*records, [](const auto& record) { return record.second.empty(); });
  extended.records = std::move(*records);
  return true;
}

/// Takes a record out; what is left at the end is what the entry does not hold.
std::optional<std::string> take(PaxRecords& records, std::string_view key) {
  const auto found = records.find(key);
  if (found == records.end()) return std::nullopt;
  std::string value = std::move(found->second);
  records.erase(found);
  return value;
}

// A number from its record, else from the field. nullopt when malformed or negative.
std::optional<std::int64_t> number_of(PaxRecords& records, std::string_view key,
                                      std::string_view block, TarField field) {
  const auto text = take(records, key);
  std::int64_t value = 0;
  if (text) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc() || end != text->data() + text->size()) return std::nullopt;
  } else {
    const auto plain = tar_number(block, field);
    if (!plain) return std::nullopt;
    value = *plain;
  }
  return value < 0 ? std::nullopt : std::optional(value);
}

std::uint32_t saturated(std::int64_t value) {
  return static_cast<std::uint32_t>(
      std::min<std::int64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

std::string name_of(Extended& extended, std::string_view block) {
  if (auto path = take(extended.records, "path")) return std::move(*path);
  if (extended.long_name) return std::move(*extended.long_name);
  std::string name(tar_text(block, kTarName));
  const bool posix = block.substr(kTarMagic.offset, 6) == kMagicPosix.substr(0, 6);
  const std::string_view prefix = posix ? tar_text(block, kTarPrefix) : std::string_view();
  if (!prefix.empty()) name = std::string(prefix) + "/" + name;
  return name;
}

std::string link_of(Extended& extended, std::string_view block) {
  if (auto link = take(extended.records, "linkpath")) return std::move(*link);
  if (extended.long_link) return std::move(*extended.long_link);
  return std::string(tar_text(block, kTarLink));
}

bool parse_attributes(Extended& extended, std::string_view block, Attributes& attributes) {
  const auto uid = number_of(extended.records, "uid", block, kTarUid);
  const auto gid = number_of(extended.records, "gid", block, kTarGid);
  const auto plain = tar_number(block, kTarMtime);
  if (!uid || !gid || !plain) return false;
  attributes.uid = saturated(*uid);
  attributes.gid = saturated(*gid);
  attributes.mtime_seconds = *plain;
  const auto text = take(extended.records, "mtime");
  if (!text) return true;
  const auto exact = parse_pax_seconds(*text);
  if (!exact) return false;
  attributes.mtime_seconds = exact->first;
  attributes.mtime_nanoseconds = exact->second;
  return true;
}

bool parse_devices(std::string_view block, Entry& entry) {
  if (entry.type != EntryType::kCharDevice && entry.type != EntryType::kBlockDevice) return true;
  const auto major = tar_number(block, kTarMajor);
  const auto minor = tar_number(block, kTarMinor);
  if (!major || !minor || *major < 0 || *minor < 0) return false;
  entry.device_major = saturated(*major);
  entry.device_minor = saturated(*minor);
  return true;
}

void take_xattrs(PaxRecords& records, Entry& entry) {
  for (auto it = records.lower_bound(kXattrKey);
       it != records.end() && it->first.starts_with(kXattrKey); it = records.erase(it)) {
    entry.xattrs.emplace_back(it->first.substr(kXattrKey.size()), std::move(it->second));
  }
}

std::string extra_of(Extended& extended, std::string_view block) {
  TarExtra extra;
  auto uname = take(extended.records, "uname");
  auto gname = take(extended.records, "gname");
  extra.uname = uname ? std::move(*uname) : std::string(tar_text(block, kTarUname));
  extra.gname = gname ? std::move(*gname) : std::string(tar_text(block, kTarGname));
  for (const auto& [key, value] : extended.records) append_pax_record(extra.records, key, value);
  return extra.encode();
}

std::optional<Member> parse_main(std::string_view block, Extended extended) {
  const auto sparse = extended.records.lower_bound("GNU.sparse.");
  if (sparse != extended.records.end() && sparse->first.starts_with("GNU.sparse.")) {
    return std::nullopt;
  }
  const char flag = block[kTarType.offset];
  const auto type = type_of(flag);
  const auto mode = tar_number(block, kTarMode);
  const auto size = number_of(extended.records, "size", block, kTarSize);
  if (!type || !mode || !size) return std::nullopt;

  Member member;
  Entry& entry = member.entry;
  const std::string name = name_of(extended, block);
  entry.type = *type;
  // Writers before POSIX mark a directory with a slash.
  if (flag == '\0' && name.ends_with('/')) entry.type = EntryType::kDirectory;
  entry.path = normalised(name);
  entry.mode = static_cast<std::uint32_t>(*mode & 07777);
  if (entry.type == EntryType::kFile) entry.size = static_cast<std::uint64_t>(*size);
  std::string link = link_of(extended, block);
  if (entry.type == EntryType::kSymlink || entry.type == EntryType::kHardLink) {
    entry.link_target = std::move(link);
  }
  if (!parse_devices(block, entry)) return std::nullopt;
  if (!parse_attributes(extended, block, member.attributes)) return std::nullopt;
  take_xattrs(extended.records, entry);
  member.header.extra = extra_of(extended, block);
  return member;
}

// Every dialect writes these fields this way; others' headers need not be tried against all.
bool may_be_dialect(std::string_view block) {
  const auto field = [&](TarField f) { return block.substr(f.offset, f.size); };
  const std::string_view magic = field(kTarMagic);
  return (magic == kMagicPosix || magic == kMagicGnu) && field(kTarMode)[7] == '\0' &&
         field(kTarMode)[6] >= '0' && field(kTarChecksum).substr(6) == std::string_view("\0 ", 2);
}

// Whether the name, wherever it stands, begins with "./".
bool may_have_dot_slash(std::string_view block) {
  return block.starts_with("./") || block.substr(kTarPrefix.offset).starts_with("./");
}

bool gives(const Member& member, std::uint8_t dialect, std::string_view raw, std::string& scratch) {
  scratch.clear();
  return write_tar_dialect(member, dialect, scratch) && scratch == raw;
}

}  // namespace

TarBlockKind classify_tar_block(std::string_view block) {
  assert(block.size() == kTarBlock);
  if (is_zeros(block)) return {TarBlockKind::What::kZero};
  if (!tar_checksum_ok(block)) return {TarBlockKind::What::kBad};
  const char flag = block[kTarType.offset];
  if (is_extension(flag)) {
    const auto size = tar_number(block, kTarSize);
    if (!size || *size < 0) return {TarBlockKind::What::kBad};
    return {TarBlockKind::What::kExtension, static_cast<std::uint64_t>(*size)};
  }
  return {type_of(flag) ? TarBlockKind::What::kMember : TarBlockKind::What::kBad};
}

std::optional<Member> parse_tar_header(std::string_view raw) {
  Extended extended;
  while (raw.size() >= kTarBlock) {
    const std::string_view block = raw.substr(0, kTarBlock);
    const TarBlockKind kind = classify_tar_block(block);
    raw.remove_prefix(kTarBlock);
    if (kind.what == TarBlockKind::What::kMember && raw.empty()) {
      return parse_main(block, std::move(extended));
    }
    if (kind.what != TarBlockKind::What::kExtension || kind.body > raw.size()) return std::nullopt;
    if (!take_extended(block[kTarType.offset], raw.substr(0, kind.body), extended)) {
      return std::nullopt;
    }
    raw.remove_prefix(std::min<std::size_t>(raw.size(), kind.body + tar_padding(kind.body)));
  }
  return std::nullopt;
}

std::uint8_t form_tar_header(Member& member, std::string_view raw, std::uint8_t hint) {
  std::string scratch;
  scratch.reserve(raw.size());
  HeaderForm& form = member.header;
  if (hint != kHeaderKept && gives(member, hint, raw, scratch)) return form.dialect = hint;
  const std::string_view main = raw.substr(raw.size() - kTarBlock);
  const std::uint8_t variant = may_have_dot_slash(main) ? kDotSlash : 0;
  for (std::uint8_t writer = 1; writer < kTarDialects && may_be_dialect(main); ++writer) {
    const auto dialect = static_cast<std::uint8_t>(writer | variant);
    if (dialect != hint && gives(member, dialect, raw, scratch)) return form.dialect = dialect;
  }
  form.extra.clear();
  form.kept = raw;
  return form.dialect = kHeaderKept;
}

std::string make_tar_header(const Member& member) {
  if (member.header.dialect == kHeaderKept) return member.header.kept;
  std::string out;
  if (!write_tar_dialect(member, member.header.dialect, out)) {
    throw Error(Errc::malformed, "tar header of " + member.entry.path);
  }
  return out;
}

}  // namespace towline::syncfs
