#include "syncfs/pack_file.h"

#include <boost/endian/conversion.hpp>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <cassert>
#include <cstring>
#include <span>

namespace towline::syncfs {

Result<PackRecord> parse_pack_record(Bytes header) {
  if (header.size() != kPackRecordHeaderSize) return Errc::malformed;
  PackRecord record;
  record.size =
      boost::endian::load_little_u32(reinterpret_cast<const unsigned char*>(header.data()));
  if (record.size >= kLooseMin) return Errc::malformed;
  BlobId::Bytes digest;
  std::memcpy(digest.data(), header.data() + 4, digest.size());
  record.id = BlobId(digest);
  return record;
}

std::array<std::byte, kPackRecordHeaderSize> pack_record(const PackRecord& record) {
  std::array<std::byte, kPackRecordHeaderSize> header;
  boost::endian::store_little_u32(reinterpret_cast<unsigned char*>(header.data()), record.size);
  std::memcpy(header.data() + 4, record.id.bytes().data(), BlobId::kSize);
  return header;
}

Result<std::uint64_t> parse_loose_header(Bytes header) {
  if (header.size() != kLooseHeaderSize) return Errc::malformed;
  if (std::memcmp(header.data(), kLooseMagic, kMagicSize) != 0) return Errc::malformed;
  return boost::endian::load_little_u64(reinterpret_cast<const unsigned char*>(header.data()) +
                                        kMagicSize);
}

std::array<std::byte, kLooseHeaderSize> loose_header(std::uint64_t size) {
  std::array<std::byte, kLooseHeaderSize> header;
  std::memcpy(header.data(), kLooseMagic, kMagicSize);
  boost::endian::store_little_u64(reinterpret_cast<unsigned char*>(header.data()) + kMagicSize,
                                  size);
  return header;
}

PackFile::PackFile(const std::filesystem::path& file, int flags)
    : file_(std::make_shared<const OpenFile>(OpenFile{open_file(file, O_RDWR | flags), file})) {}

PackFile PackFile::create(const std::filesystem::path& file) {
  PackFile made(file, O_CREAT | O_EXCL);
  try {
    write_at(made.file_->fd.get(), 0, std::as_bytes(std::span(kPackMagic, kMagicSize)), file);
  } catch (
      ...) {  // not swallowed: without its magic the file must not stay, or no pack could follow
    std::filesystem::remove(file);
    throw;
  }
  return made;
}

PackFile PackFile::open(const std::filesystem::path& file) {
  PackFile opened(file, 0);
  std::array<std::byte, kMagicSize> magic{};
  if (opened.size() >= kMagicSize) opened.source(0, kMagicSize)->read_at(0, magic);
  if (std::memcmp(magic.data(), kPackMagic, kMagicSize) != 0) {
    throw Error(Errc::corrupt, "not a pack: " + file.native());
  }
  return opened;
}

std::uint64_t PackFile::append(std::uint64_t end, const BlobId& id, Bytes content) {
  assert(content.size() < kLooseMin);
  const auto header = pack_record({static_cast<std::uint32_t>(content.size()), id});
  try {
    const Bytes parts[] = {header, content};
    write_parts_at(file_->fd.get(), end, parts, file_->name);
  } catch (const Error&) {
    truncate(end);
    throw;
  }
  return end + header.size();
}

std::uint64_t PackFile::size() const {
  struct stat found{};
  if (::fstat(file_->fd.get(), &found) != 0) throw_errno("stat " + file_->name.native());
  return static_cast<std::uint64_t>(found.st_size);
}

void PackFile::truncate(std::uint64_t size) {
  if (::ftruncate(file_->fd.get(), static_cast<off_t>(size)) != 0) {
    throw_errno("truncate " + file_->name.native());
  }
}

void PackFile::sync() {
  if (::fdatasync(file_->fd.get()) != 0) throw_store_errno("sync", file_->name);
}

std::unique_ptr<ContentSource> PackFile::source(std::uint64_t offset, std::uint64_t size) const {
  return std::make_unique<FileSource>(file_, offset, size);
}

std::uint64_t PackFile::scan(
    const std::function<void(const PackRecord&, std::uint64_t)>& each) const {
  const std::uint64_t end = size();
  std::uint64_t at = kMagicSize;
  while (end - at >= kPackRecordHeaderSize) {
    std::array<std::byte, kPackRecordHeaderSize> header;
    source(at, header.size())->read_at(0, header);
    const auto record = parse_pack_record(header);
    if (!record || record->size > end - at - header.size()) break;
    each(*record, at + header.size());
    at += header.size() + record->size;
  }
  return at;
}

}  // namespace towline::syncfs
