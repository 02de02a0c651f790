#pragma once

#include "protocol/error.h"
#include "protocol/fd.h"
#include "protocol/ids.h"
#include "syncfs/content.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace towline::syncfs {

/// Throws Error with errno, or Errc::no_space when the disk is full.
[[noreturn]] void throw_store_errno(const std::string& doing, const std::filesystem::path& file);

/// open(2) with mode 0600; throws as above.
Fd open_file(const std::filesystem::path& file, int flags);

/// All bytes or an Error.
void write_at(int fd, std::uint64_t offset, Bytes bytes, const std::filesystem::path& file);
void write_parts_at(int fd, std::uint64_t offset, std::span<const Bytes> parts,
                    const std::filesystem::path& file);

/// Removes a file that nothing refers to any more. A failure is logged: it costs space, until the
/// next opening removes it.
void remove_file(const std::filesystem::path& file);

/// Makes names in a directory, or a file's contents, survive a power cut.
void sync_path(const std::filesystem::path& path);

/// A descriptor and the name that it was opened by, for errors.
struct OpenFile {
  Fd fd;
  std::filesystem::path name;
};

/// A part of a file. Shares the descriptor, so it outlives the file's name on disk.
class FileSource final : public ContentSource {
 public:
  FileSource(std::shared_ptr<const OpenFile> file, std::uint64_t offset, std::uint64_t size);
  std::uint64_t size() const override { return size_; }
  void read_at(std::uint64_t offset, std::span<std::byte> into) const override;

 private:
  std::shared_ptr<const OpenFile> file_;
  std::uint64_t offset_;
  std::uint64_t size_;
};

/// Bytes in memory that it owns.
class OwnedSource final : public ContentSource {
 public:
  explicit OwnedSource(std::string bytes) : bytes_(std::move(bytes)) {}
  std::uint64_t size() const override { return bytes_.size(); }
  void read_at(std::uint64_t offset, std::span<std::byte> into) const override;
  Bytes view() const override { return std::as_bytes(std::span(bytes_)); }

 private:
  std::string bytes_;
};

/// A file that will become a loose blob, or vanishes with this object. It has no name
/// until then where the file system can do that, else one in `dir`.
class LooseDraft {
 public:
  explicit LooseDraft(const std::filesystem::path& dir);
  ~LooseDraft();
  LooseDraft(const LooseDraft&) = delete;
  LooseDraft& operator=(const LooseDraft&) = delete;

  void append(Bytes bytes);
  std::uint64_t size() const noexcept { return size_; }
  std::unique_ptr<ContentSource> source() const;

  /// Writes the header; nothing may be appended after it.
  void seal();

  /// Gives it its name; what had that name before is replaced. Not yet synced.
  void move_to(const std::filesystem::path& file);

 private:
  std::filesystem::path path_;  // empty: unnamed
  std::shared_ptr<const OpenFile> file_;
  std::uint64_t size_ = 0;
};

/// A loose file's content; nullptr when it is absent, or not one of this size.
std::unique_ptr<ContentSource> open_loose(const std::filesystem::path& file, std::uint64_t size);

/// Holds a flock on dir/lock, which a killed process lets go. Errc::conflict, naming the pid of the
/// holder, when another has it.
Fd lock_store(const std::filesystem::path& dir);

}  // namespace towline::syncfs
