#include "syncfs/attribute_vector.h"

#include "syncfs/byte_codec.h"

#include <algorithm>
#include <limits>

namespace towline::syncfs {
namespace {

enum Column : std::uint8_t { kSame = 0, kDeltas = 1 };

// Wraps around: differences of arbitrary seconds may not fit.
std::int64_t difference(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b));
}

std::int64_t sum(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

template <class Get>
void append_column(std::string& out, const std::vector<Attributes>& all, Get get) {
  const auto value = [&](const Attributes& a) { return static_cast<std::int64_t>(get(a)); };
  const bool same = std::all_of(
      all.begin(), all.end(), [&](const Attributes& a) { return value(a) == value(all.front()); });
  out += static_cast<char>(same ? kSame : kDeltas);
  std::int64_t last = 0;
  for (const Attributes& a : all) {
    append_signed(out, difference(value(a), last));
    if (same) return;
    last = value(a);
  }
}

template <class Set>
void read_column(ByteReader& reader, std::vector<Attributes>& all, std::int64_t max, Set set) {
  const std::uint8_t how = reader.byte();
  if (how > kDeltas) reader.fail();
  std::int64_t value = 0;
  for (std::size_t i = 0; i < all.size() && !reader.failed(); ++i) {
    if (how == kDeltas || i == 0) value = sum(value, reader.signed_varint());
    if (max != 0 && (value < 0 || value > max)) reader.fail();
    set(all[i], value);
  }
}

}  // namespace

std::string encode_attributes(const std::vector<Attributes>& attributes) {
  std::string out;
  append_column(out, attributes, [](const Attributes& a) { return a.mtime_seconds; });
  append_column(out, attributes, [](const Attributes& a) { return a.mtime_nanoseconds; });
  append_column(out, attributes, [](const Attributes& a) { return a.uid; });
  append_column(out, attributes, [](const Attributes& a) { return a.gid; });
  return out;
}

Result<std::vector<Attributes>> decode_attributes(std::string_view bytes, std::size_t count) {
  constexpr std::int64_t kIdMax = std::numeric_limits<std::uint32_t>::max();
  constexpr std::int64_t kNanosecondsMax = 999'999'999;
  std::vector<Attributes> out(count);
  ByteReader reader(bytes);
  read_column(reader, out, 0, [](Attributes& a, std::int64_t v) { a.mtime_seconds = v; });
  read_column(reader, out, kNanosecondsMax, [](Attributes& a, std::int64_t v) {
    a.mtime_nanoseconds = static_cast<std::uint32_t>(v);
  });
  read_column(reader, out, kIdMax,
              [](Attributes& a, std::int64_t v) { a.uid = static_cast<std::uint32_t>(v); });
  read_column(reader, out, kIdMax,
              [](Attributes& a, std::int64_t v) { a.gid = static_cast<std::uint32_t>(v); });
  if (!reader.done()) return Errc::malformed;
  return out;
}

}  // namespace towline::syncfs
