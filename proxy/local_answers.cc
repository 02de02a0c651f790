#include "proxy/local_answers.h"

#include "protocol/http_watch.h"

#include <boost/beast/core/string.hpp>
#include <boost/json/parse.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

namespace towline::proxy {
namespace {

namespace json = boost::json;

struct Reply {
  std::string head;
  std::string body;
};

/// Only what can be repeated: a complete 200 with a length, on a connection that stays.
std::optional<Reply> split_reply(std::string_view raw) {
  ReplyWatch watch;
  const auto head_size = watch.feed(raw);
  if (!head_size || !watch.head_done()) return std::nullopt;
  const std::string_view body = raw.substr(*head_size);
  const ReplyHead& head = watch.head();
  const bool usable = head.status == 200 && head.keep_alive && head.content_length == body.size();
  if (!usable) return std::nullopt;
  return Reply{head.raw, std::string(body)};
}

/// One header's value replaced where it stands; the head is unchanged without that header.
std::string with_value(std::string_view head, std::string_view name, std::string_view value) {
  std::string out;
  while (!head.empty()) {
    const std::string_view line = head.substr(0, head.find('\n') + 1);  // the head ends so
    head.remove_prefix(line.size());
    const std::size_t colon = line.find(':');
    if (colon != std::string_view::npos && boost::beast::iequals(line.substr(0, colon), name)) {
      out += fmt::format("{}: {}\r\n", line.substr(0, colon), value);
    } else {
      out += line;
    }
  }
  return out;
}

std::string http_date(std::chrono::system_clock::time_point now) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  return fmt::format("{:%a, %d %b %Y %H:%M:%S} GMT", fmt::gmtime(seconds));
}

/// "1.47" as numbers to compare; nothing for any other form.
std::optional<std::pair<int, int>> parse_version(std::string_view text) {
  std::pair<int, int> version;
  const char* const end = text.data() + text.size();
  const auto major = std::from_chars(text.data(), end, version.first);
  if (major.ec != std::errc() || major.ptr == end || *major.ptr != '.') return std::nullopt;
  const auto minor = std::from_chars(major.ptr + 1, end, version.second);
  if (minor.ec != std::errc() || minor.ptr != end) return std::nullopt;
  return version;
}

std::string string_field(const json::value& object, json::string_view name) {
  if (!object.is_object()) return {};
  const json::value* const field = object.get_object().if_contains(name);
  if (field == nullptr || !field->is_string()) return {};
  return std::string(field->get_string());
}

}  // namespace

StoredAnswers::StoredAnswers(Clock clock) : clock_(std::move(clock)) {}

bool StoredAnswers::set(const EngineReplies& replies) {
  stored_.reset();
  auto ping_reply = split_reply(replies.ping);
  auto version_reply = split_reply(replies.version);
  if (!ping_reply || !version_reply) return false;
  boost::system::error_code ec;
  const json::value facts = json::parse(version_reply->body, ec);
  if (ec) return false;
  stored_ = Stored{.ping_head = std::move(ping_reply->head),
                   .ping_body = std::move(ping_reply->body),
                   .version_head = std::move(version_reply->head),
                   .version_body = std::move(version_reply->body),
                   .api_min = string_field(facts, "MinAPIVersion"),
                   .api_max = string_field(facts, "ApiVersion")};
  return true;
}

bool StoredAnswers::answers(std::string_view api_version) const {
  if (!stored_) return false;
  if (api_version.empty()) return true;  // the engine's own newest
  const auto asked = parse_version(api_version);
  const auto min = parse_version(stored_->api_min);
  const auto max = parse_version(stored_->api_max);
  return asked && min && max && *min <= *asked && *asked <= *max;
}

std::optional<std::string> StoredAnswers::ping(bool head, std::string_view api_version) {
  if (!answers(api_version)) return std::nullopt;
  std::string reply = with_value(stored_->ping_head, "Date", http_date(clock_()));
  if (head) return with_value(reply, "Content-Length", "0");  // the engine counts 0 for HEAD
  return reply + stored_->ping_body;
}

std::optional<std::string> StoredAnswers::version(std::string_view api_version) {
  if (!answers(api_version)) return std::nullopt;
  return with_value(stored_->version_head, "Date", http_date(clock_())) + stored_->version_body;
}

}  // namespace towline::proxy
