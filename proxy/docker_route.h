#pragma once

#include "protocol/http_watch.h"

#include <string>
#include <string_view>

namespace towline::proxy {

/// What the relay does with a request of a docker client.
enum class DockerRoute {
  kPing,      // HEAD or GET /_ping, nothing unusual about it
  kVersion,   // GET /version, likewise
  kBuildTar,  // POST /build whose body is the build context
  kUpgrade,   // may turn the connection into a byte stream
  kForward,   // everything else
};

/// A request target, taken apart; views into the target.
struct DockerTarget {
  std::string_view api_version;  // "1.47" of "/v1.47/info", else empty
  std::string_view path;         // "/info"
  std::string_view query;        // without '?'
};

DockerTarget split_target(std::string_view target) noexcept;

/// Decoded value of the first parameter `key` of a query string, empty if absent. A broken
/// percent escape stays as it is.
std::string query_value(std::string_view query, std::string_view key);

/// Pure. Facts: the engine registers every route with and without "/v[0-9.]+", and with
/// POST /containers/{name}/attach and /exec/{id}/start it takes the connection over even
/// without an Upgrade header.
DockerRoute classify(const RequestHead& head);

/// Whether a 200 answer without length to this request is the start of a byte stream.
bool hijacks_without_upgrade(const RequestHead& head);

}  // namespace towline::proxy
