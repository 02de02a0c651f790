#pragma once

#include <cerrno>
#include <string>
#include <system_error>

namespace towline::wanemu {

/// Throws std::system_error with `error` (an errno value) and what was being done.
[[noreturn]] inline void fail(const std::string& what, int error = errno) {
  throw std::system_error(error, std::generic_category(), what);
}

}  // namespace towline::wanemu
