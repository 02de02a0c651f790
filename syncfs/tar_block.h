#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace towline::syncfs {

inline constexpr std::size_t kTarBlock = 512;

/// Where a field lies in a header block (POSIX ustar; the same in GNU's).
struct TarField {
  std::size_t offset;
  std::size_t size;
};
inline constexpr TarField kTarName{0, 100};
inline constexpr TarField kTarMode{100, 8};
inline constexpr TarField kTarUid{108, 8};
inline constexpr TarField kTarGid{116, 8};
inline constexpr TarField kTarSize{124, 12};
inline constexpr TarField kTarMtime{136, 12};
inline constexpr TarField kTarChecksum{148, 8};
inline constexpr TarField kTarType{156, 1};
inline constexpr TarField kTarLink{157, 100};
inline constexpr TarField kTarMagic{257, 8};
inline constexpr TarField kTarUname{265, 32};
inline constexpr TarField kTarGname{297, 32};
inline constexpr TarField kTarMajor{329, 8};
inline constexpr TarField kTarMinor{337, 8};
inline constexpr TarField kTarPrefix{345, 155};

inline constexpr std::string_view kMagicPosix{"ustar\00000", 8};
inline constexpr std::string_view kMagicGnu{"ustar  \0", 8};

/// Bytes that fill the last block of a content.
constexpr std::uint64_t tar_padding(std::uint64_t size) {
  return (kTarBlock - size % kTarBlock) % kTarBlock;
}

/// The field up to its first NUL.
std::string_view tar_text(std::string_view block, TarField field);

/// Octal with spaces or NULs around it, or GNU's base 256. nullopt when it is neither, or does
/// not fit.
std::optional<std::int64_t> tar_number(std::string_view block, TarField field);

/// Whether the checksum field holds the sum of the block's bytes (unsigned or, as old writers
/// have it, signed).
bool tar_checksum_ok(std::string_view block);

bool is_zeros(std::string_view bytes);

/// Writes header blocks field by field, as the dialects do.
class TarBlockWriter {
 public:
  TarBlockWriter() { block_.fill('\0'); }

  /// Copies what fits; the rest of the field stays NUL.
  void text(TarField field, std::string_view value);
  /// Octal digits that fill the field but for one NUL at its end. False when it does not fit.
  bool octal(TarField field, std::int64_t value);
  /// As octal; what does not fit is written in GNU's base 256.
  void octal_or_base256(TarField field, std::int64_t value);
  /// Sums the block up (six digits, NUL, space) and appends it.
  void append_to(std::string& out);

 private:
  std::array<char, kTarBlock> block_;
};

/// PAX records in the order of their keys; a later record of the same key wins.
using PaxRecords = std::map<std::string, std::string, std::less<>>;

/// nullopt when malformed.
std::optional<PaxRecords> parse_pax_records(std::string_view body);

/// Appends "LENGTH KEY=VALUE\n".
void append_pax_record(std::string& out, std::string_view key, std::string_view value);

/// Appends a content and the zeros that fill its last block.
void append_padded(std::string& out, std::string_view content);

}  // namespace towline::syncfs
