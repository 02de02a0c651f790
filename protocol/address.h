#pragma once

#include "protocol/error.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace towline {

/// Where an agent listens or an engine is: `tls://HOST:PORT`, `unix://PATH`, `ssh://[USER@]HOST[:PORT]`.
struct Address {
  enum class Scheme { kUnix, kTls, kSsh };
  Scheme scheme = Scheme::kUnix;
  std::string user;  // ssh only
  std::string host;  // tls, ssh; IPv6 without brackets
  std::uint16_t port = 0;
  std::string path;  // unix

  static Result<Address> parse(std::string_view text);
  std::string str() const;

  bool operator==(const Address&) const = default;
};

}  // namespace towline
