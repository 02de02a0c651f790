#pragma once

#include "protocol/fd.h"
#include "protocol/ids.h"
#include "syncfs/content.h"
#include "syncfs/store_files.h"

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

namespace towline::syncfs {

// The bytes of packs and loose files; docs/store-format.md is the authority. Integers are
// little-endian.

inline constexpr std::size_t kMagicSize = 8;
inline constexpr char kPackMagic[kMagicSize + 1] = "TWLPACK1";
inline constexpr char kLooseMagic[kMagicSize + 1] = "TWLBLOB1";

/// Blobs from this size on are loose files: a pack gains nothing by them.
inline constexpr std::uint64_t kLooseMin = 1 << 20;

inline constexpr std::size_t kPackRecordHeaderSize = 4 + BlobId::kSize;
inline constexpr std::size_t kLooseHeaderSize = kMagicSize + 8;

struct PackRecord {
  std::uint32_t size = 0;  // of the content, which follows
  BlobId id{BlobId::Bytes{}};

  bool operator==(const PackRecord&) const = default;
};

/// The header of a record in a pack; Errc::malformed unless exactly one that fits.
Result<PackRecord> parse_pack_record(Bytes header);
std::array<std::byte, kPackRecordHeaderSize> pack_record(const PackRecord& record);

/// The header of a loose file: the size of its content.
Result<std::uint64_t> parse_loose_header(Bytes header);
std::array<std::byte, kLooseHeaderSize> loose_header(std::uint64_t size);

/// An append-only file of small blobs. It does not remember its end: the store does, as only
/// the index knows what counts. One thread appends at a time; sources read it from any.
class PackFile {
 public:
  /// A new file with its magic. Fails when there is one.
  static PackFile create(const std::filesystem::path& file);
  /// An existing one; Errc::corrupt when it does not begin as a pack does.
  static PackFile open(const std::filesystem::path& file);

  /// Writes a record at `end` and returns where its content begins. When that fails
  /// (disk full) the file is cut back to `end`.
  std::uint64_t append(std::uint64_t end, const BlobId& id, Bytes content);

  std::uint64_t size() const;
  void truncate(std::uint64_t size);
  void sync();

  /// Readable when the file has long been unlinked.
  std::unique_ptr<ContentSource> source(std::uint64_t offset, std::uint64_t size) const;

  /// Calls `each` with every record, by its header, and where its content begins, up to the first
  /// that is cut off or malformed. Returns where that begins. Contents are not looked at.
  std::uint64_t scan(const std::function<void(const PackRecord&, std::uint64_t)>& each) const;

 private:
  PackFile(const std::filesystem::path& file, int flags);

  std::shared_ptr<const OpenFile> file_;
};

}  // namespace towline::syncfs
