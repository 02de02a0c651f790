#pragma once

#include "protocol/ids.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace towline::syncfs {

/// LEB128: seven bits a byte, least significant first.
void append_varint(std::string& out, std::uint64_t value);
/// Zigzag, then as above: small magnitudes are short.
void append_signed(std::string& out, std::int64_t value);
/// Its length, then the bytes.
void append_sized(std::string& out, std::string_view bytes);
void append_id(std::string& out, const BlobId& id);

/// Reads what the functions above wrote, from bytes that may be hostile. A read past the end or of
/// a malformed number makes it fail for good: every later read gives zero or nothing, so that
/// callers check `failed` once a record and bound their loops by it.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  std::uint8_t byte();
  std::uint64_t varint();
  std::int64_t signed_varint();
  /// At most `max`, or the reader fails.
  std::uint64_t varint_to(std::uint64_t max);
  std::string_view bytes(std::uint64_t size);
  std::string_view sized() { return bytes(varint()); }
  BlobId id();

  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }
  std::size_t left() const { return rest_.size(); }
  /// All was read, and nothing failed.
  bool done() const { return !failed_ && rest_.empty(); }
  void fail() { failed_ = true, rest_ = {}; }

 private:
  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace towline::syncfs
