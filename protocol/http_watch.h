#pragma once

#include "protocol/error.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

namespace towline {

/// What both kinds of HTTP/1 head tell. `raw` is the head exactly as it came, header
/// order, spaces and the closing empty line included.
struct HttpHead {
  std::string raw;
  unsigned version = 11;  // 10 or 11
  bool keep_alive = false;
  bool chunked = false;
  std::optional<std::uint64_t> content_length;
};

struct RequestHead : HttpHead {
  std::string method;
  std::string target;
  std::string upgrade;  // value of Upgrade, empty unless Connection names it too
  bool expect_continue = false;

  bool has_body() const noexcept { return chunked || content_length.value_or(0) > 0; }
};

struct ReplyHead : HttpHead {
  unsigned status = 0;
  std::string content_type;
  bool until_close = false;  // the body ends where the connection does
};

/// Watches the bytes of one HTTP/1 message go by and says where its head and the message
/// end; nothing is re-encoded. Bytes may be split anywhere. The bytes that `feed` accepts
/// may be passed on at once: not even the line end after a chunk has to wait for what
/// follows it (some clients deliver a chunk only after that line end).
///
/// Framing is Beast's `basic_parser`, without Beast's field container, which cannot hold a
/// header above 64 KiB. Pure: no I/O. Memory: the head, at most kHttpHeadMax and one read,
/// and as much of an unfinished chunk line or trailer.
template <bool kIsRequest>
class HttpWatch {
 public:
  using Head = std::conditional_t<kIsRequest, RequestHead, ReplyHead>;

  /// `no_body`: the reply to a HEAD request, which has none whatever its head says.
  explicit HttpWatch(bool no_body = false);
  ~HttpWatch();
  HttpWatch(HttpWatch&&) noexcept;
  HttpWatch& operator=(HttpWatch&&) noexcept;

  /// How many of `bytes` belong to this message; never beyond the end of the head in the
  /// call that completes it. Call until done(). `body`, if given, gets the decoded body
  /// bytes appended. Errors: malformed, too_large (head, chunk line or trailer); the watch
  /// is of no use after one.
  Result<std::size_t> feed(std::span<const char> bytes, std::string* body = nullptr);

  /// The sender ended its stream. Error: disconnected, if the message was not complete.
  Result<void> end();

  bool started() const noexcept;
  bool head_done() const noexcept;
  bool done() const noexcept;
  /// Only after head_done().
  const Head& head() const noexcept;

 private:
  class Parser;
  Result<std::size_t> feed_head(std::span<const char> bytes);
  Result<std::size_t> feed_body(std::span<const char> bytes);

  std::unique_ptr<Parser> parser_;
};

extern template class HttpWatch<true>;
extern template class HttpWatch<false>;

using RequestWatch = HttpWatch<true>;
using ReplyWatch = HttpWatch<false>;

}  // namespace towline
