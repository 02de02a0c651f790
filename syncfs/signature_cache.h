#pragma once

#include "protocol/ids.h"
#include "syncfs/content.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace towline::syncfs {

/// librsync signatures of contents whose shadow is gone, so that a delta can
/// still be made without asking the agent. A cache: bounded, and losing it
/// costs bytes, never correctness. Any thread; blocks on disk.
class SignatureCache {
 public:
  explicit SignatureCache(const std::filesystem::path& file);
  ~SignatureCache();
  SignatureCache(const SignatureCache&) = delete;
  SignatureCache& operator=(const SignatureCache&) = delete;

  std::optional<std::string> find(const BlobId& id) const;
  void put(const BlobId& id, const std::string& signature);

  /// All signatures together; the oldest go.
  static constexpr std::uint64_t kBytesMax = 256ull << 20;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace towline::syncfs
