#pragma once

#include <boost/system/result.hpp>
#include <boost/system/system_error.hpp>

#include <string>

namespace towline {

/// What went wrong, in terms a caller can act on. OS failures keep their errno
/// in the generic category and need no entry here.
enum class Errc {
  malformed = 1,
  too_large,
  not_found,
  conflict,
  timed_out,
  disconnected,
  corrupt,       // stored bytes are not what was stored
  unsupported,   // well-formed, but not something this version handles
  incompatible,  // the other side speaks another version
  denied,        // the other side may not do that
  no_space,      // disk or budget is full
};

boost::system::error_code make_error_code(Errc code) noexcept;

/// Result of a pure function over untrusted input (parsers, validators). Code
/// that does I/O throws `Error` instead.
template <class T>
using Result = boost::system::result<T>;

/// Ends the current unit of work: one request, one FUSE call, one sync pass.
/// Caught only at the four boundaries listed in docs/errors.md.
class Error : public boost::system::system_error {
 public:
  using boost::system::system_error::system_error;
};

/// Throws `Error` carrying errno. `what` names the operation and its object.
[[noreturn]] void throw_errno(const std::string& what);

/// Boundary: the errno a FUSE reply carries for the exception in flight.
int current_errno() noexcept;

/// Boundary: the HTTP status a Docker client sees for the exception in flight.
unsigned current_http_status() noexcept;

}  // namespace towline

template <>
struct boost::system::is_error_code_enum<towline::Errc> : std::true_type {};
