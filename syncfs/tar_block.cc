#include "syncfs/tar_block.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <limits>

namespace towline::syncfs {
namespace {

std::string_view field_of(std::string_view block, TarField field) {
  return block.substr(field.offset, field.size);
}

std::optional<std::int64_t> base256(std::string_view field) {
  const bool negative = (static_cast<unsigned char>(field[0]) & 0x40) != 0;
  std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
  for (std::size_t i = 0; i < field.size(); ++i) {
    auto byte = static_cast<unsigned char>(field[i]);
    if (i == 0) byte = negative ? byte | 0x80 : byte & 0x7f;
    // What is shifted out must be no more than the sign.
    if ((value >> 55) != (negative ? 0x1ffu : 0u)) return std::nullopt;
    value = (value << 8) | byte;
  }
  return static_cast<std::int64_t>(value);
}

bool is_blank(char c) { return c == ' ' || c == '\0'; }

}  // namespace

std::string_view tar_text(std::string_view block, TarField field) {
  const std::string_view whole = field_of(block, field);
  return whole.substr(0, whole.find('\0'));
}

std::optional<std::int64_t> tar_number(std::string_view block, TarField field) {
  std::string_view text = field_of(block, field);
  if ((static_cast<unsigned char>(text[0]) & 0x80) != 0) return base256(text);
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  std::int64_t value = 0;
  if (text.empty()) return value;
  if (text.front() == '-') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool tar_checksum_ok(std::string_view block) {
  const auto stored = tar_number(block, kTarChecksum);
  std::int64_t plain = 0;
  std::int64_t with_sign = 0;
  for (const char c : block) {
    plain += static_cast<unsigned char>(c);
    with_sign += static_cast<signed char>(c);
  }
  for (const char c : field_of(block, kTarChecksum)) {
    plain += ' ' - static_cast<unsigned char>(c);
    with_sign += ' ' - static_cast<signed char>(c);
  }
  return stored && (*stored == plain || *stored == with_sign);
}

bool is_zeros(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == '\0'; });
}

void TarBlockWriter::text(TarField field, std::string_view value) {
  value.copy(block_.data() + field.offset, field.size);
}

bool TarBlockWriter::octal(TarField field, std::int64_t value) {
  char* const begin = block_.data() + field.offset;
  const auto digits = static_cast<int>(field.size) - 1;
  if (value < 0 || (digits < 21 && (value >> (3 * digits)) != 0)) return false;
  for (int i = digits - 1; i >= 0; --i, value >>= 3)
    begin[i] = static_cast<char>('0' + (value & 7));
  return true;
}

void TarBlockWriter::octal_or_base256(TarField field, std::int64_t value) {
  if (octal(field, value)) return;
  char* const begin = block_.data() + field.offset;
  const char sign = value < 0 ? '\xff' : '\x80';
  for (int i = static_cast<int>(field.size) - 1; i >= 0; --i, value >>= 8) {
    begin[i] = static_cast<char>(value & 0xff);
  }
  begin[0] = sign;
}

void TarBlockWriter::append_to(std::string& out) {
  std::fill_n(block_.data() + kTarChecksum.offset, kTarChecksum.size, ' ');
  std::int64_t sum = 0;
  for (const char c : block_) sum += static_cast<unsigned char>(c);
  const bool fits = octal({kTarChecksum.offset, 7}, sum);
  assert(fits);  // 512 * 255 has six octal digits
  block_[kTarChecksum.offset + 6] = '\0';
  out.append(block_.data(), block_.size());
}

std::optional<PaxRecords> parse_pax_records(std::string_view body) {
  PaxRecords records;
  while (!body.empty()) {
    std::size_t length = 0;
    const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), length);
    const auto digits = static_cast<std::size_t>(end - body.data());
    if (error != std::errc() || digits >= body.size() || *end != ' ') return std::nullopt;
    if (length > body.size() || length < digits + 4 || body[length - 1] != '\n') {
      return std::nullopt;
    }
    const std::string_view record = body.substr(digits + 1, length - digits - 2);
    const std::size_t equals = record.find('=');
    if (equals == record.npos || equals == 0) return std::nullopt;
    records.insert_or_assign(std::string(record.substr(0, equals)),
                             std::string(record.substr(equals + 1)));
    body.remove_prefix(length);
  }
  return records;
}

void append_pax_record(std::string& out, std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;
  std::size_t length = rest + 1;
  // The length counts its own digits.
  while (rest + std::to_string(length).size() != length) {
    length = rest + std::to_string(length).size();
  }
  out += std::to_string(length);
  out += ' ';
  out += key;
  out += '=';
  out += value;
  out += '\n';
}

void append_padded(std::string& out, std::string_view content) {
  out += content;
  out.append(tar_padding(content.size()), '\0');
}

}  // namespace towline::syncfs
