#pragma once

#include "protocol/ids.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace towline::syncfs {

enum class EntryType : std::uint8_t {
  kFile = 0,
  kDirectory = 1,
  kSymlink = 2,
  kHardLink = 3,  // tar sources only: link_target names an earlier member
  kCharDevice = 4,
  kBlockDevice = 5,
  kFifo = 6,
};

/// What a tree says of one name, apart from attributes: this is what is hashed.
struct Entry {
  std::string path;  // bytes; relative, '/'-separated, no trailing '/'
  EntryType type = EntryType::kFile;
  std::uint32_t mode = 0;  // the low 12 bits
  std::uint64_t size = 0;  // of files
  std::string link_target;
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;  // sorted by name
  std::optional<BlobId> blob;                               // of files

  bool operator==(const Entry&) const = default;
};

/// What changes without changing the tree's hash.
struct Attributes {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t mtime_seconds = 0;
  std::uint32_t mtime_nanoseconds = 0;

  bool operator==(const Attributes&) const = default;
};

}  // namespace towline::syncfs
