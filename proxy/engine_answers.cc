#include "proxy/engine_answers.h"

namespace towline::proxy {

std::optional<std::string> EngineAnswers::ping(bool head, std::string_view api_version) {
  return refresh() ? stored_.ping(head, api_version) : std::nullopt;
}

std::optional<std::string> EngineAnswers::version(std::string_view api_version) {
  return refresh() ? stored_.version(api_version) : std::nullopt;
}

/// False: what is stored may not be true.
bool EngineAnswers::refresh() {
  const wire::EngineInfo* engine = link_.engine();
  if (!engine || !engine->reachable() || link_.state() != LinkState::kUp) return false;
  const EngineReplies replies{.ping = engine->ping_head() + engine->ping_body(),
                              .version = engine->version_head() + engine->version_body()};
  if (replies.ping == seen_ping_ && replies.version == seen_version_) return true;
  seen_ping_ = replies.ping;
  seen_version_ = replies.version;
  return stored_.set(replies);
}

}  // namespace towline::proxy
