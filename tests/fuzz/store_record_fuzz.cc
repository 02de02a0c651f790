// What a store parses by itself: record and loose headers, and whole packs (when an index is
// rebuilt).
#include "syncfs/pack_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <span>
#include <string>

namespace {

using namespace towline;
using namespace towline::syncfs;

void parse_headers(Bytes bytes) {
  const Bytes record_header = bytes.first(std::min(bytes.size(), kPackRecordHeaderSize));
  if (const auto record = parse_pack_record(record_header)) {
    assert(record->size < kLooseMin);
    const auto again = pack_record(*record);
    assert(std::ranges::equal(again, record_header));
  }
  const Bytes loose = bytes.first(std::min(bytes.size(), kLooseHeaderSize));
  if (const auto size = parse_loose_header(loose)) {
    assert(std::ranges::equal(loose_header(*size), loose));
  }
}

void scan_pack(Bytes bytes) {
  const Fd file(::memfd_create("pack", MFD_CLOEXEC));
  if (::write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) return;
  try {
    const PackFile pack = PackFile::open("/proc/self/fd/" + std::to_string(file.get()));
    std::uint64_t expected = kMagicSize;
    const auto end = pack.scan([&](const PackRecord& record, std::uint64_t offset) {
      assert(offset == expected + kPackRecordHeaderSize);
      expected = offset + record.size;
      assert(expected <= bytes.size());
    });
    assert(end == expected);
  } catch (const Error& e) {
    assert(e.code() == Errc::corrupt);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes = std::as_bytes(std::span(data, size));
  parse_headers(bytes);
  scan_pack(bytes);
  return 0;
}
