#include "syncfs/store_files.h"

#include "protocol/log.h"
#include "syncfs/pack_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace towline::syncfs {

void throw_store_errno(const std::string& doing, const std::filesystem::path& file) {
  const std::string what = doing + " " + file.native();
  if (errno == ENOSPC || errno == EDQUOT) throw Error(Errc::no_space, what);
  throw_errno(what);
}

Fd open_file(const std::filesystem::path& file, int flags) {
  Fd fd(::open(file.c_str(), flags | O_CLOEXEC, 0600));
  if (!fd) throw_store_errno("open", file);
  return fd;
}

void write_at(int fd, std::uint64_t offset, Bytes bytes, const std::filesystem::path& file) {
  write_parts_at(fd, offset, std::span(&bytes, 1), file);
}

void write_parts_at(int fd, std::uint64_t offset, std::span<const Bytes> parts,
                    const std::filesystem::path& file) {
  std::array<iovec, 2> rest{};
  std::size_t count = 0;
  for (const Bytes part : parts) {
    if (!part.empty()) rest.at(count++) = {const_cast<std::byte*>(part.data()), part.size()};
  }
  std::size_t first = 0;
  while (first < count) {
    const ssize_t n =
        ::pwritev(fd, &rest.at(first), static_cast<int>(count - first), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw_store_errno("write", file);
    offset += static_cast<std::uint64_t>(n);
    auto written = static_cast<std::size_t>(n);
    for (; first < count && written >= rest.at(first).iov_len; ++first) {
      written -= rest.at(first).iov_len;
    }
    if (first == count) break;
    rest.at(first).iov_base = static_cast<std::byte*>(rest.at(first).iov_base) + written;
    rest.at(first).iov_len -= written;
  }
}

void sync_path(const std::filesystem::path& path) {
  const Fd fd = open_file(path, O_RDONLY);
  if (::fsync(fd.get()) != 0) throw_store_errno("sync", path);
}

void remove_file(const std::filesystem::path& file) {
  if (::unlink(file.c_str()) == 0 || errno == ENOENT) return;
  log::warn("remove {}: {}", file.native(), std::generic_category().message(errno));
}

FileSource::FileSource(std::shared_ptr<const OpenFile> file, std::uint64_t offset,
                       std::uint64_t size)
    : file_(std::move(file)), offset_(offset), size_(size) {}

void FileSource::read_at(std::uint64_t offset, std::span<std::byte> into) const {
  if (offset > size_ || into.size() > size_ - offset) {
    throw Error(Errc::malformed, "read past the end of a blob in " + file_->name.native());
  }
  while (!into.empty()) {
    const ssize_t n =
        ::pread(file_->fd.get(), into.data(), into.size(), static_cast<off_t>(offset_ + offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("read " + file_->name.native());
    if (n == 0) throw Error(Errc::corrupt, "unexpected end of " + file_->name.native());
    offset += static_cast<std::uint64_t>(n);
    into = into.subspan(static_cast<std::size_t>(n));
  }
}

void OwnedSource::read_at(std::uint64_t offset, std::span<std::byte> into) const {
  MemorySource(view()).read_at(offset, into);
}

LooseDraft::LooseDraft(const std::filesystem::path& dir) {
  Fd fd(::open(dir.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
    std::string name = (dir / "draft-XXXXXX").native();
    fd = Fd(::mkostemp(name.data(), O_CLOEXEC));
    if (fd) path_ = name;
  }
  if (!fd) throw_store_errno("make a temporary file in", dir / "draft");
  file_ = std::make_shared<const OpenFile>(OpenFile{std::move(fd), dir / "draft"});
}

LooseDraft::~LooseDraft() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

void LooseDraft::append(Bytes bytes) {
  write_at(file_->fd.get(), kLooseHeaderSize + size_, bytes, file_->name);
  size_ += bytes.size();
}

std::unique_ptr<ContentSource> LooseDraft::source() const {
  return std::make_unique<FileSource>(file_, kLooseHeaderSize, size_);
}

void LooseDraft::seal() { write_at(file_->fd.get(), 0, loose_header(size_), file_->name); }

void LooseDraft::move_to(const std::filesystem::path& file) {
  std::filesystem::create_directories(file.parent_path());
  if (!path_.empty()) {
    if (::rename(path_.c_str(), file.c_str()) != 0) throw_store_errno("rename to", file);
    path_.clear();
    return;
  }
  const std::string self = "/proc/self/fd/" + std::to_string(file_->fd.get());
  const auto link = [&] {
    return ::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, file.c_str(), AT_SYMLINK_FOLLOW) == 0;
  };
  if (link()) return;
  if (errno != EEXIST || ::unlink(file.c_str()) != 0 || !link()) throw_store_errno("link", file);
}

std::unique_ptr<ContentSource> open_loose(const std::filesystem::path& file, std::uint64_t size) {
  Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT) return nullptr;
    throw_errno("open " + file.native());
  }
  struct stat found{};
  if (::fstat(fd.get(), &found) != 0) throw_errno("stat " + file.native());
  if (static_cast<std::uint64_t>(found.st_size) != kLooseHeaderSize + size) return nullptr;
  auto open = std::make_shared<const OpenFile>(OpenFile{std::move(fd), file});
  std::array<std::byte, kLooseHeaderSize> header;
  FileSource(open, 0, header.size()).read_at(0, header);
  const auto told = parse_loose_header(header);
  if (!told || *told != size) return nullptr;
  return std::make_unique<FileSource>(std::move(open), kLooseHeaderSize, size);
}

Fd lock_store(const std::filesystem::path& dir) {
  const auto file = dir / "lock";
  Fd fd = open_file(file, O_RDWR | O_CREAT);
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) throw_errno("lock " + file.native());
    std::array<char, 32> text{};
    const ssize_t n = ::pread(fd.get(), text.data(), text.size() - 1, 0);
    const std::string pid = n > 0 ? std::to_string(std::atol(text.data())) : "unknown";
    throw Error(Errc::conflict,
                fmt::format("open store {}: process {} has it (stop it first)", dir.native(), pid));
  }
  if (::ftruncate(fd.get(), 0) != 0) throw_store_errno("truncate", file);
  const std::string pid = std::to_string(::getpid()) + "\n";
  write_at(fd.get(), 0, std::as_bytes(std::span(pid)), file);
  return fd;
}

}  // namespace towline::syncfs
