#include "syncfs/byte_codec.h"

#include <cstring>

namespace towline::syncfs {

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void append_signed(std::string& out, std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  append_varint(out, (bits << 1) ^ (value < 0 ? ~std::uint64_t{0} : 0));
}

void append_sized(std::string& out, std::string_view bytes) {
  append_varint(out, bytes.size());
  out += bytes;
}

void append_id(std::string& out, const BlobId& id) {
  out.append(reinterpret_cast<const char*>(id.bytes().data()), BlobId::kSize);
}

std::uint8_t ByteReader::byte() {
  const std::string_view one = bytes(1);
  return one.empty() ? 0 : static_cast<std::uint8_t>(one[0]);
}

std::uint64_t ByteReader::varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const std::uint8_t part = byte();
    if (shift == 63 && part > 1) break;
    value |= static_cast<std::uint64_t>(part & 0x7f) << shift;
    if ((part & 0x80) == 0) return value;
  }
  fail();
  return 0;
}

std::int64_t ByteReader::signed_varint() {
  const std::uint64_t bits = varint();
  return static_cast<std::int64_t>((bits >> 1) ^ ((bits & 1) != 0 ? ~std::uint64_t{0} : 0));
}

std::uint64_t ByteReader::varint_to(std::uint64_t max) {
  const std::uint64_t value = varint();
  if (value <= max) return value;
  fail();
  return 0;
}

std::string_view ByteReader::bytes(std::uint64_t size) {
  if (size > rest_.size()) {
    fail();
    return {};
  }
  const std::string_view taken = rest_.substr(0, static_cast<std::size_t>(size));
  rest_.remove_prefix(taken.size());
  return taken;
}

BlobId ByteReader::id() {
  BlobId::Bytes raw{};
  const std::string_view taken = bytes(BlobId::kSize);
  if (!taken.empty()) std::memcpy(raw.data(), taken.data(), BlobId::kSize);
  return BlobId(raw);
}

}  // namespace towline::syncfs
