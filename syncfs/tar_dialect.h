#pragma once

#include "syncfs/snapshot.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace towline::syncfs {

/// Writers whose headers are made again from entry and attributes. The numbers are part of the
/// snapshot encoding: never reuse one.
enum TarDialect : std::uint8_t {
  kHeaderKept = 0,
  kGoUstar = 1,             // docker CLI; GNU tar --format=ustar
  kGoPax = 2,               // docker CLI, where ustar cannot say it
  kPythonGnu = 3,           // tarfile, GNU_FORMAT; busybox
  kPythonPax = 4,           // tarfile, PAX_FORMAT, mtime a float: docker-py
  kGnuGnu = 5,              // GNU tar --format=gnu
  kGnuPosix = 6,            // GNU tar --format=posix
  kGoUstarTypeBits = 7,     // docker CLI up to 20.10: file type bits in the mode
  kGoPaxTypeBits = 8,       //
  kPythonPaxWhole = 9,      // tarfile, PAX_FORMAT, mtime an integer
  kPythonPaxTruncate = 10,  // tarfile of Python < 3.8: mtime cut off, not rounded
  kPythonUstar = 11,        // tarfile, USTAR_FORMAT
  kTarDialects = 12,
};

/// Set beside the dialect: the name in the tar begins with "./".
inline constexpr std::uint8_t kDotSlash = 0x80;

bool is_tar_dialect(std::uint8_t dialect);

/// Appends the header blocks of `member` as `dialect` (not kHeaderKept) writes them, with what
/// header.extra says. False, with `out` unspecified, when it cannot.
bool write_tar_dialect(const Member& member, std::uint8_t dialect, std::string& out);

/// header.extra: UNAME NUL GNAME, then for kGnuPosix NUL and its other PAX records; empty when
/// all of that is.
struct TarExtra {
  std::string uname;
  std::string gname;
  std::string records;

  std::string encode() const;
  static TarExtra decode(std::string_view extra);
};

/// The decimal seconds of a PAX record: "-1.5" is second -2 and 500,000,000 ns. nullopt when it
/// is no such number; digits beyond the ninth are cut off.
std::optional<std::pair<std::int64_t, std::uint32_t>> parse_pax_seconds(std::string_view text);
std::string format_pax_seconds(std::int64_t seconds, std::uint32_t nanoseconds);

}  // namespace towline::syncfs
