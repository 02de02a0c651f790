#pragma once

#include "syncfs/blob_store.h"
#include "syncfs/sha256.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace towline::syncfs {

inline Bytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

/// A directory that vanishes with the object.
class ScratchDir {
 public:
  ScratchDir() {
    std::string name = (std::filesystem::temp_directory_path() / "towline-XXXXXX").native();
    if (::mkdtemp(name.data()) == nullptr) throw_errno("mkdtemp");
    path_ = name;
  }
  ~ScratchDir() { std::filesystem::remove_all(path_); }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;
  std::filesystem::path operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// Incompressible, the same for the same seed.
inline std::string noise(std::uint64_t seed, std::size_t size) {
  std::mt19937_64 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

inline BlobId put(BlobStore& store, const std::string& text) { return store.put(bytes_of(text)); }

inline std::string content(const BlobStore& store, const BlobId& id) {
  const auto source = store.open(id);
  return source ? read_all(*source, 1ull << 30) : "(absent)";
}

inline std::vector<std::filesystem::path> files_in(const std::filesystem::path& dir) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    if (entry.is_regular_file()) found.push_back(entry.path());
  }
  return found;
}

/// Flips the bits of one byte, `at` from the start, or from the end when negative.
inline void damage(const std::filesystem::path& file, std::int64_t at) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  const auto whence = at < 0 ? std::ios::end : std::ios::beg;
  stream.seekg(at, whence);
  const char old = static_cast<char>(stream.get());
  stream.seekp(at, whence);
  stream.put(static_cast<char>(~old));
  ASSERT_TRUE(stream.good());
}

}  // namespace towline::syncfs
