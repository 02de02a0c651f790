#pragma once

#include "proxy/agent_link.h"
#include "proxy/local_answers.h"

#include <cstdint>

namespace towline::proxy {

/// Answers _ping and version from what the agent reported of the engine last, as
/// long as link and engine are up; else the engine is asked, and its failure is the client's.
class EngineAnswers final : public LocalAnswers {
 public:
  explicit EngineAnswers(const AgentLink& link) : link_(link) {}

  std::optional<std::string> ping(bool head, std::string_view api_version) override;
  std::optional<std::string> version(std::string_view api_version) override;

 private:
  bool refresh();

  const AgentLink& link_;
  StoredAnswers stored_;
  std::string seen_ping_, seen_version_;
};

}  // namespace towline::proxy
