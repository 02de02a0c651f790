#include "proxy/docker_error.h"

#include <boost/beast/http/status.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/system/system_error.hpp>
#include <fmt/format.h>

namespace towline::proxy {
namespace {

std::string status_text(unsigned status) {
  const auto text = boost::beast::http::obsolete_reason(boost::beast::http::int_to_status(status));
  return {text.data(), text.size()};
}

}  // namespace

std::string error_reply(unsigned status, std::string_view message, bool to_head) {
  boost::json::object object;
  object["message"] = boost::json::string_view(message.data(), message.size());
  const std::string body = boost::json::serialize(object) + "\n";
  std::string reply = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n"
      "Connection: close\r\n\r\n",
      status, status_text(status), body.size());
  if (!to_head) reply += body;
  return reply;
}

std::string plain_text(const std::exception& error) {
  std::string text = error.what();
  const auto* const known = dynamic_cast<const boost::system::system_error*>(&error);
  if (known == nullptr) return text;
  const std::string detail = fmt::format(" [{}:", known->code().category().name());
  return text.substr(0, text.rfind(detail));
}

std::string refusal_reply(unsigned status) {
  const std::string line = fmt::format("{} {}", status, status_text(status));
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{}", line,
      line);
}

}  // namespace towline::proxy
