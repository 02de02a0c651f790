#include "protocol/error.h"

#include <cerrno>
#include <exception>
#include <new>

namespace towline {
namespace {

namespace sys = boost::system;

struct Row {
  Errc code;
  const char* text;
  int posix;
  unsigned http;
};

// One table answers every question asked about an error.
constexpr Row kRows[] = {
    {Errc::malformed, "malformed input", EINVAL, 400},
    {Errc::too_large, "input exceeds limit", E2BIG, 413},
    {Errc::not_found, "not found", ENOENT, 404},
    {Errc::conflict, "conflicting change", EEXIST, 409},
    {Errc::timed_out, "timed out", ETIMEDOUT, 504},
    {Errc::disconnected, "peer disconnected", EIO, 502},
    {Errc::corrupt, "stored data is corrupt", EIO, 500},
    {Errc::unsupported, "not supported", EOPNOTSUPP, 501},
    {Errc::incompatible, "incompatible version", EPROTO, 502},
    {Errc::denied, "permission denied", EACCES, 403},
    {Errc::no_space, "no space left", ENOSPC, 507},
};

const Row& row(int value) {
  for (const Row& r : kRows) {
    if (static_cast<int>(r.code) == value) return r;
  }
  return kRows[0];
}

class Category final : public sys::error_category {
 public:
  const char* name() const noexcept override { return "towline"; }
  std::string message(int value) const override { return row(value).text; }
};

const Category kCategory;

}  // namespace

sys::error_code make_error_code(Errc code) noexcept { return {static_cast<int>(code), kCategory}; }

void throw_errno(const std::string& what) {
  throw Error(sys::error_code(errno, sys::generic_category()), what);
}

int current_errno() noexcept {
  try {
    throw;
  } catch (const sys::system_error& e) {
    if (e.code().category() == kCategory) return row(e.code().value()).posix;
    if (e.code().category() == sys::generic_category()) return e.code().value();
    return EIO;
  } catch (const std::bad_alloc&) {
    return ENOMEM;
  } catch (...) {
    return EIO;
  }
}

unsigned current_http_status() noexcept {
  try {
    throw;
  } catch (const sys::system_error& e) {
    return e.code().category() == kCategory ? row(e.code().value()).http : 502;
  } catch (...) {
    return 500;
  }
}

}  // namespace towline
