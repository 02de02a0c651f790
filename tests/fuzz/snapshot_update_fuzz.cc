// Arbitrary bytes as an update, of nothing and of a base: a value or an error, bounded, no crash.
// The payload is fuzzed without its zstd frame as well, which no mutation would get through.
#include "syncfs/byte_codec.h"
#include "syncfs/snapshot_update.h"
#include "tests/support/tar_round_trip.h"

#include <cstdlib>

namespace {

using namespace towline::syncfs;

constexpr std::uint64_t kSizeMax = 1 << 20;

std::shared_ptr<const Snapshot> make_base() {
  std::vector<Member> members;
  for (const char* path : {"a", "d/b", "d/c", "e/f/g", "../stray"}) {
    Member member;
    member.entry.path = path;
    member.entry.size = members.size();
    member.entry.blob = blob_id_of(test::bytes_of(path));
    member.header.dialect = static_cast<std::uint8_t>(members.size());
    if (member.header.dialect == 0) member.header.kept = "kept";
    members.push_back(std::move(member));
  }
  return Snapshot::make(std::move(members), {});
}

void apply(const Snapshot* base, std::string_view update, const Snapshot& expected) {
  const auto result = Snapshot::apply_update(base, test::bytes_of(update), expected.id(), kSizeMax);
  if (result && (*result)->id() != expected.id()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::shared_ptr<const Snapshot> base = make_base();
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  apply(nullptr, input, *base);
  apply(base.get(), input, *base);

  UpdateHead head;
  head.attributes = head.form = true;
  head.payload_size = input.size();
  std::string update;
  append_update_head(update, head);
  update += compress_sections({std::string(input)}, {}, 1);
  apply(nullptr, update, *base);
  return 0;
}
