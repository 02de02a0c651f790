#include "syncfs/content.h"

#include "protocol/error.h"

#include <cstring>

namespace towline::syncfs {

void MemorySource::read_at(std::uint64_t offset, std::span<std::byte> into) const {
  if (offset > bytes_.size() || into.size() > bytes_.size() - offset) {
    throw Error(Errc::malformed, "read past the end of a memory source");
  }
  if (!into.empty()) std::memcpy(into.data(), bytes_.data() + offset, into.size());
}

std::string read_all(const ContentSource& source, std::uint64_t size_max) {
  if (source.size() > size_max) throw Error(Errc::too_large, "content does not fit in memory");
  std::string all(source.size(), '\0');
  source.read_at(0, std::as_writable_bytes(std::span(all)));
  return all;
}

}  // namespace towline::syncfs
