#pragma once

#include "protocol/ids.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

struct stat;

namespace towline::syncfs {

/// What of a file changes when its content does. Times in nanoseconds since the epoch.
struct FileStat {
  std::uint64_t size = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  std::uint64_t inode = 0;
  std::uint64_t device = 0;

  static FileStat of(const struct stat& from);
  bool operator==(const FileStat&) const = default;
};

/// Whether a stat that is like `then`'s proves the content that was read from `read_from_ns` on.
/// Not when the file had been changed so shortly before that another change could have left the
/// same times
/// ("racily clean"), or has times in the future.
bool proves_content(const FileStat& then, std::int64_t read_from_ns);

/// The blob ids of files that have been hashed, so that an unchanged file is not read again.
///
/// An answer is a proof, as far as the file system's times go: path, size, mtime,
/// ctime, inode and device are those of when it was hashed, and these were not
/// young then. Kept in SQLite; losing it costs time only, so a damaged file is set
/// aside. Bounded: what was not asked for longest goes first. Any thread. Blocks on
/// disk: workers only. Throws Error when the disk fails or is full.
class StatCache {
 public:
  explicit StatCache(const std::filesystem::path& file, std::uint64_t entries_max = 4'000'000);
  ~StatCache();
  StatCache(const StatCache&) = delete;
  StatCache& operator=(const StatCache&) = delete;

  /// `path`: absolute, bytes. nullopt: hash it.
  std::optional<BlobId> find(std::string_view path, const FileStat& now) const;

  /// `read_from_ns`: the clock (now_ns) before the file was opened; `was`: its stat, the same
  /// before and after reading. What could never be trusted is not kept.
  void put(std::string_view path, const FileStat& was, const BlobId& blob,
           std::int64_t read_from_ns);

  void remove(std::string_view path);

  /// Writes what was put since. Happens by itself when much has gathered, and at the end.
  void flush();

  std::uint64_t entries() const;

  /// The clock that file systems take their times from.
  static std::int64_t now_ns();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace towline::syncfs
