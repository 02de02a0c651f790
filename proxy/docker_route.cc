#include "proxy/docker_route.h"

#include <cstddef>

namespace towline::proxy {
namespace {

constexpr std::string_view kVersionChars = "0123456789.";

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string form_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
                        hex_digit(text[i + 2]) >= 0;
    if (escape) {
      out += static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

/// What differs in the least from the request every client sends is the engine's to answer.
bool is_plain(const RequestHead& head, const DockerTarget& target) {
  return !head.has_body() && !head.expect_continue && head.keep_alive && head.version == 11 &&
         target.query.empty() && head.target.find('?') == std::string::npos;
}

bool is_tar_build(const RequestHead& head, const DockerTarget& target) {
  if (!head.has_body() || !query_value(target.query, "remote").empty()) return false;
  const std::string version = query_value(target.query, "version");
  return version.empty() || version == "1" || version == "2";
}

bool is_inside(std::string_view path, std::string_view prefix, std::string_view suffix) {
  return path.size() > prefix.size() + suffix.size() && path.starts_with(prefix) &&
         path.ends_with(suffix);
}

}  // namespace

DockerTarget split_target(std::string_view target) noexcept {
  DockerTarget parts;
  parts.path = target.substr(0, target.find('?'));
  if (parts.path.size() < target.size()) parts.query = target.substr(parts.path.size() + 1);
  if (!parts.path.starts_with("/v")) return parts;
  const std::size_t slash = parts.path.find('/', 2);
  if (slash == std::string_view::npos || slash == 2) return parts;
  const std::string_view version = parts.path.substr(2, slash - 2);
  if (version.find_first_not_of(kVersionChars) != std::string_view::npos) return parts;
  parts.api_version = version;
  parts.path.remove_prefix(slash);
  return parts;
}

std::string query_value(std::string_view query, std::string_view key) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(pair.size() < query.size() ? pair.size() + 1 : query.size());
    const std::string_view name = pair.substr(0, pair.find('='));
    if (form_decode(name) != key) continue;
    return name.size() < pair.size() ? form_decode(pair.substr(name.size() + 1)) : std::string();
  }
  return {};
}

bool hijacks_without_upgrade(const RequestHead& head) {
  if (head.method != "POST") return false;
  const DockerTarget target = split_target(head.target);
  return is_inside(target.path, "/containers/", "/attach") ||
         is_inside(target.path, "/exec/", "/start");
}

DockerRoute classify(const RequestHead& head) {
  if (!head.upgrade.empty() || hijacks_without_upgrade(head)) return DockerRoute::kUpgrade;
  const DockerTarget target = split_target(head.target);
  const bool get = head.method == "GET";
  if (target.path == "/_ping" && (get || head.method == "HEAD") && is_plain(head, target)) {
    return DockerRoute::kPing;
  }
  if (target.path == "/version" && get && is_plain(head, target)) return DockerRoute::kVersion;
  if (target.path == "/build" && head.method == "POST" && is_tar_build(head, target)) {
    return DockerRoute::kBuildTar;
  }
  return DockerRoute::kForward;
}

}  // namespace towline::proxy
