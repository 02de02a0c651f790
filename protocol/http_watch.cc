#include "protocol/http_watch.h"

#include "protocol/limits.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include <cassert>
#include <utility>

namespace towline {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

// "0\r\n\r\n". Beast asserts if it has seen the line of a leading last chunk and is then
// called with fewer bytes than this; no chunked body is shorter.
constexpr std::size_t kChunkedBodyMin = 5;

Errc errc_of(beast::error_code ec) {
  return ec == http::error::header_limit ? Errc::too_large : Errc::malformed;
}

}  // namespace

template <bool kIsRequest>
class HttpWatch<kIsRequest>::Parser final : public http::basic_parser<kIsRequest> {
 public:
  Head head;
  std::size_t parsed = 0;       // of head.raw
  std::string tail;             // body bytes accepted but not yet understood
  std::string* body = nullptr;  // for the current feed()
  bool first_chunk = true;

 private:
  using View = beast::string_view;
  using Code = beast::error_code;

  void on_request_impl(http::verb, View method, View target, int version, Code&) override {
    if constexpr (kIsRequest) {
      head.method = method;
      head.target = target;
      head.version = static_cast<unsigned>(version);
    }
  }
  void on_response_impl(int status, View, int version, Code&) override {
    if constexpr (!kIsRequest) {
      head.status = static_cast<unsigned>(status);
      head.version = static_cast<unsigned>(version);
    }
  }
  void on_field_impl(http::field field, View, View value, Code&) override {
    if (this->is_header_done()) return;  // a trailer
    if constexpr (kIsRequest) {
      if (field == http::field::upgrade) head.upgrade = value;
      if (field == http::field::expect)
        head.expect_continue = beast::iequals(value, "100-continue");
      if (field == http::field::transfer_encoding) has_encoding_ = true;
    } else {
      if (field == http::field::content_type) head.content_type = value;
    }
  }
  void on_header_impl(Code& ec) override {
    head.keep_alive = this->keep_alive();
    head.chunked = this->chunked();
    if (const auto length = this->content_length()) head.content_length = *length;
    if constexpr (kIsRequest) {
      if (!this->upgrade()) head.upgrade.clear();
      // Its end could not be found; the engine refuses it too.
      if (has_encoding_ && !head.chunked) ec = http::error::bad_transfer_encoding;
    } else {
      head.until_close = this->need_eof();
    }
  }
  void on_body_init_impl(const boost::optional<std::uint64_t>&, Code&) override {}
  std::size_t on_body_impl(View bytes, Code&) override { return take(bytes); }
  void on_chunk_header_impl(std::uint64_t, View, Code&) override { first_chunk = false; }
  std::size_t on_chunk_body_impl(std::uint64_t, View bytes, Code&) override { return take(bytes); }
  void on_finish_impl(Code&) override {}

  std::size_t take(View bytes) {
    if (body != nullptr) body->append(bytes.data(), bytes.size());
    return bytes.size();
  }

  bool has_encoding_ = false;
};

template <bool kIsRequest>
HttpWatch<kIsRequest>::HttpWatch(bool no_body) : parser_(std::make_unique<Parser>()) {
  parser_->header_limit(kHttpHeadMax);
  parser_->body_limit(boost::none);
  parser_->skip(no_body);
  parser_->eager(false);  // stop behind the head
}
template <bool kIsRequest>
HttpWatch<kIsRequest>::~HttpWatch() = default;
template <bool kIsRequest>
HttpWatch<kIsRequest>::HttpWatch(HttpWatch&&) noexcept = default;
template <bool kIsRequest>
HttpWatch<kIsRequest>& HttpWatch<kIsRequest>::operator=(HttpWatch&&) noexcept = default;

template <bool kIsRequest>
Result<std::size_t> HttpWatch<kIsRequest>::feed(std::span<const char> bytes, std::string* body) {
  assert(!done());
  if (bytes.empty()) return 0;
  if (!head_done()) return feed_head(bytes);
  parser_->body = body;
  auto used = feed_body(bytes);
  parser_->body = nullptr;
  return used;
}

template <bool kIsRequest>
Result<std::size_t> HttpWatch<kIsRequest>::feed_head(std::span<const char> bytes) {
  std::string& raw = parser_->head.raw;
  const std::size_t before = raw.size();
  raw.append(bytes.data(), bytes.size());
  beast::error_code ec;
  const auto unread = asio::buffer(raw.data() + parser_->parsed, raw.size() - parser_->parsed);
  parser_->parsed += parser_->put(unread, ec);
  if (ec && ec != http::error::need_more) return errc_of(ec);
  if (!parser_->is_header_done()) {
    if (raw.size() > kHttpHeadMax) return Errc::too_large;
    return bytes.size();
  }
  assert(parser_->parsed >= before);
  raw.resize(parser_->parsed);
  parser_->eager(true);
  return parser_->parsed - before;
}

template <bool kIsRequest>
Result<std::size_t> HttpWatch<kIsRequest>::feed_body(std::span<const char> bytes) {
  std::string& tail = parser_->tail;
  const std::size_t before = tail.size();
  const bool too_short =
      parser_->chunked() && parser_->first_chunk && before + bytes.size() < kChunkedBodyMin;
  // Copied only behind an unfinished chunk line, the rest is read where it lies.
  if (before > 0 || too_short) tail.append(bytes.data(), bytes.size());
  if (too_short) return bytes.size();

  const std::span<const char> all = before > 0 ? std::span<const char>(tail) : bytes;
  beast::error_code ec;
  const std::size_t used = parser_->put(asio::buffer(all.data(), all.size()), ec);
  if (ec && ec != http::error::need_more) return errc_of(ec);
  if (parser_->is_done()) {
    assert(used >= before);
    return used - before;
  }
  // Not complete, so whatever the parser wants to see again belongs to this message.
  if (before > 0) {
    tail.erase(0, used);
  } else {
    tail.assign(bytes.data() + used, bytes.size() - used);
  }
  if (tail.size() > kHttpHeadMax) return Errc::too_large;
  return bytes.size();
}

template <bool kIsRequest>
Result<void> HttpWatch<kIsRequest>::end() {
  if (done()) return {};
  if (!head_done()) return Errc::disconnected;
  beast::error_code ec;
  parser_->put_eof(ec);
  if (ec) return Errc::disconnected;
  return {};
}

template <bool kIsRequest>
bool HttpWatch<kIsRequest>::started() const noexcept {
  return !parser_->head.raw.empty();
}
template <bool kIsRequest>
bool HttpWatch<kIsRequest>::head_done() const noexcept {
  return parser_->is_header_done();
}
template <bool kIsRequest>
bool HttpWatch<kIsRequest>::done() const noexcept {
  return parser_->is_done();
}
template <bool kIsRequest>
const typename HttpWatch<kIsRequest>::Head& HttpWatch<kIsRequest>::head() const noexcept {
  return parser_->head;
}

template class HttpWatch<true>;
template class HttpWatch<false>;

}  // namespace towline
