#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace towline::syncfs::test {

/// A directory's files by path, written as a tar the way the docker CLI does:
/// each directory before what is in it, names sorted, owners 0, two end blocks.
struct ContextWriter {
  std::map<std::string, std::string> files;
  std::int64_t mtime = 1'700'000'000;
  std::map<std::string, std::int64_t> mtimes;  // where they differ

  std::string tar() const;
};

}  // namespace towline::syncfs::test
