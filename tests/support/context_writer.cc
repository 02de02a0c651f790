#include "tests/support/context_writer.h"

#include "syncfs/tar_dialect.h"
#include "syncfs/tar_header.h"

#include <set>

namespace towline::syncfs::test {
namespace {

constexpr std::size_t kBlock = 512;

std::string header(const std::string& path, EntryType type, std::uint64_t size,
                   std::int64_t mtime) {
  Member member;
  member.entry.path = path;
  member.entry.type = type;
  member.entry.mode = type == EntryType::kDirectory ? 0755 : 0644;
  member.entry.size = size;
  member.attributes.mtime_seconds = mtime;
  member.header.dialect = kGoUstar;
  return make_tar_header(member);
}

}  // namespace

std::string ContextWriter::tar() const {
  std::string out;
  std::set<std::string> made;
  for (const auto& [path, content] : files) {
    for (std::size_t slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1)) {
      const std::string directory = path.substr(0, slash);
      if (made.insert(directory).second) out += header(directory, EntryType::kDirectory, 0, mtime);
    }
    const auto own = mtimes.find(path);
    out += header(path, EntryType::kFile, content.size(), own == mtimes.end() ? mtime : own->second);
    out += content;
    out.append((kBlock - content.size() % kBlock) % kBlock, '\0');
  }
  return out.append(2 * kBlock, '\0');
}

}  // namespace towline::syncfs::test
