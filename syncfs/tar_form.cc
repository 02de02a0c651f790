#include "syncfs/tar_form.h"

#include "syncfs/byte_codec.h"
#include "syncfs/tar_dialect.h"

#include <limits>
#include <unordered_map>

namespace towline::syncfs {
namespace {

enum Order : std::uint8_t { kWalkOrder = 0, kOwnOrder = 1 };

enum TailKind : std::uint8_t { kUnpadded = 1, kHasRest = 2 };

void append_tail(std::string& out, const Snapshot::Tail& tail) {
  out += static_cast<char>((tail.unpadded ? kUnpadded : 0) | (tail.rest ? kHasRest : 0));
  append_varint(out, tail.zeros);
  if (!tail.rest) return;
  append_varint(out, tail.rest_size);
  append_id(out, *tail.rest);
}

Snapshot::Tail read_tail(ByteReader& reader) {
  Snapshot::Tail tail;
  const std::uint8_t kind = reader.byte();
  if (kind > (kUnpadded | kHasRest)) reader.fail();
  tail.unpadded = (kind & kUnpadded) != 0;
  tail.zeros = reader.varint();
  if ((kind & kHasRest) != 0) {
    tail.rest_size = reader.varint();
    tail.rest = reader.id();
  }
  return tail;
}

void append_stray(std::string& out, const Member& member) {
  const Entry& entry = member.entry;
  append_sized(out, entry.path);
  out += static_cast<char>(entry.type);
  append_varint(out, entry.mode);
  append_varint(out, entry.size);
  append_sized(out, entry.link_target);
  append_varint(out, entry.device_major);
  append_varint(out, entry.device_minor);
  append_varint(out, entry.xattrs.size());
  for (const auto& [name, value] : entry.xattrs) {
    append_sized(out, name);
    append_sized(out, value);
  }
  out += entry.blob ? '\1' : '\0';
  if (entry.blob) append_id(out, *entry.blob);
  append_varint(out, member.attributes.uid);
  append_varint(out, member.attributes.gid);
  append_signed(out, member.attributes.mtime_seconds);
  append_varint(out, member.attributes.mtime_nanoseconds);
}

Member read_stray(ByteReader& reader) {
  Member member;
  Entry& entry = member.entry;
  entry.path = reader.sized();
  const std::uint8_t type = reader.byte();
  if (type > static_cast<std::uint8_t>(EntryType::kFifo)) reader.fail();
  entry.type = static_cast<EntryType>(type);
  entry.mode = static_cast<std::uint32_t>(reader.varint_to(07777));
  entry.size = reader.varint();
  entry.link_target = reader.sized();
  entry.device_major = static_cast<std::uint32_t>(reader.varint_to(UINT32_MAX));
  entry.device_minor = static_cast<std::uint32_t>(reader.varint_to(UINT32_MAX));
  for (std::uint64_t n = reader.varint_to(reader.left()); n > 0 && !reader.failed(); --n) {
    const std::string_view name = reader.sized();
    const std::string_view value = reader.sized();
    entry.xattrs.emplace_back(name, value);
  }
  const std::uint8_t has_blob = reader.byte();
  if (has_blob > 1) reader.fail();
  if (has_blob == 1) entry.blob = reader.id();
  member.attributes.uid = static_cast<std::uint32_t>(reader.varint_to(UINT32_MAX));
  member.attributes.gid = static_cast<std::uint32_t>(reader.varint_to(UINT32_MAX));
  member.attributes.mtime_seconds = reader.signed_varint();
  member.attributes.mtime_nanoseconds = static_cast<std::uint32_t>(reader.varint_to(999'999'999));
  return member;
}

// The places of tree members, without strays: each as its difference to the one expected, the
// place behind the member before.
void append_order(std::string& out, std::span<const std::uint32_t> places) {
  std::string deltas;
  bool walk = true;
  std::int64_t expected = 0;
  for (const std::uint32_t place : places) {
    if (place == kStray) continue;
    walk = walk && place == expected;
    append_signed(deltas, static_cast<std::int64_t>(place) - expected);
    expected = static_cast<std::int64_t>(place) + 1;
  }
  out += static_cast<char>(walk ? kWalkOrder : kOwnOrder);
  if (!walk) out += deltas;
}

void read_order(ByteReader& reader, std::vector<std::uint32_t>& places, std::size_t entries) {
  const std::uint8_t how = reader.byte();
  if (how > kOwnOrder) reader.fail();
  std::vector<bool> used(entries);
  std::int64_t expected = 0;
  for (std::uint32_t& place : places) {
    if (place == kStray) continue;
    const std::int64_t delta = how == kOwnOrder ? reader.signed_varint() : 0;
    if (reader.failed() || delta < -expected ||
        delta >= static_cast<std::int64_t>(entries) - expected) {
      return reader.fail();
    }
    place = static_cast<std::uint32_t>(expected + delta);
    if (used[place]) return reader.fail();
    used[place] = true;
    expected = static_cast<std::int64_t>(place) + 1;
  }
}

// (value, how many members in a row) until all members have one.
class RunWriter {
 public:
  explicit RunWriter(std::string& out) : out_(out) {}
  void add(std::uint64_t value) {
    if (run_ > 0 && value != value_) end();
    value_ = value;
    ++run_;
  }
  void end() {
    if (run_ == 0) return;
    append_varint(out_, value_);
    append_varint(out_, run_);
    run_ = 0;
  }

 private:
  std::string& out_;
  std::uint64_t value_ = 0;
  std::uint64_t run_ = 0;
};

template <class Set>
void read_runs(ByteReader& reader, std::size_t count, std::uint64_t value_max, Set set) {
  for (std::size_t i = 0; i < count && !reader.failed();) {
    const std::uint64_t value = reader.varint_to(value_max);
    std::uint64_t run = reader.varint_to(count - i);
    if (run == 0) return reader.fail();
    for (; run > 0; --run) set(i++, value);
  }
}

void append_headers(std::string& out, std::span<const Member> members) {
  RunWriter dialects(out);
  for (const Member& member : members) dialects.add(member.header.dialect);
  dialects.end();

  std::unordered_map<std::string_view, std::uint64_t> numbers;
  std::string table;
  std::string runs;
  RunWriter extras(runs);
  for (const Member& member : members) {
    const auto [at, fresh] = numbers.emplace(member.header.extra, numbers.size());
    if (fresh) append_sized(table, member.header.extra);
    extras.add(at->second);
  }
  extras.end();
  append_varint(out, numbers.size());
  out += table;
  out += runs;
  for (const Member& member : members) {
    if (member.header.dialect == kHeaderKept) append_sized(out, member.header.kept);
  }
}

void read_headers(ByteReader& reader, std::vector<HeaderForm>& headers, std::uint64_t size_max) {
  read_runs(reader, headers.size(), UINT8_MAX, [&](std::size_t i, std::uint64_t value) {
    headers[i].dialect = static_cast<std::uint8_t>(value);
    if (!is_tar_dialect(headers[i].dialect)) reader.fail();
  });
  std::vector<std::string_view> table;
  for (std::uint64_t n = reader.varint_to(reader.left()); n > 0 && !reader.failed(); --n) {
    table.push_back(reader.sized());
  }
  if (table.empty()) {
    if (!headers.empty()) reader.fail();
    return;
  }
  std::uint64_t expanded = 0;
  read_runs(reader, headers.size(), table.size() - 1, [&](std::size_t i, std::uint64_t value) {
    const std::string_view extra = table[static_cast<std::size_t>(value)];
    expanded += extra.size();
    if (expanded > size_max) return reader.fail();
    headers[i].extra = extra;
  });
  for (HeaderForm& header : headers) {
    if (header.dialect == kHeaderKept) header.kept = reader.sized();
    if (reader.failed()) return;
  }
}

}  // namespace

std::string encode_form(std::span<const Member> members, std::span<const std::uint32_t> walk,
                        const Snapshot::Tail& tail) {
  std::vector<std::uint32_t> places(members.size(), kStray);
  for (std::size_t i = 0; i < walk.size(); ++i) places[walk[i]] = static_cast<std::uint32_t>(i);

  std::string out;
  append_tail(out, tail);
  append_varint(out, members.size() - walk.size());
  std::size_t next = 0;  // each stray's place in the tar, counted from behind the one before
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (places[i] != kStray) continue;
    append_varint(out, i - next);
    append_stray(out, members[i]);
    next = i + 1;
  }
  append_order(out, places);
  append_headers(out, members);
  return out;
}

Result<TarForm> decode_form(std::string_view bytes, std::size_t entries, std::uint64_t size_max) {
  ByteReader reader(bytes);
  TarForm form;
  form.tail = read_tail(reader);
  const std::uint64_t strays = reader.varint_to(reader.left());
  const std::uint64_t total = entries + strays;
  if (total > size_max / sizeof(Member)) return Errc::too_large;
  form.order.assign(static_cast<std::size_t>(total), 0);
  std::uint64_t next = 0;
  for (std::uint64_t i = 0; i < strays && !reader.failed(); ++i) {
    const std::uint64_t left = total - next - (strays - i);
    const std::uint64_t place = next + reader.varint_to(left);
    form.order[static_cast<std::size_t>(place)] = kStray;
    form.strays.push_back(read_stray(reader));
    next = place + 1;
  }
  if (reader.failed()) return Errc::malformed;
  read_order(reader, form.order, entries);
  form.headers.resize(static_cast<std::size_t>(total));
  read_headers(reader, form.headers, size_max);
  if (!reader.done()) return Errc::malformed;
  return form;
}

}  // namespace towline::syncfs
