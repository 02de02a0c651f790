#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace towline::proxy {

/// Replies the proxy can give without the engine. Whole raw replies; nothing: ask the engine.
class LocalAnswers {
 public:
  virtual ~LocalAnswers() = default;

  /// `api_version`: the version prefix of the request, empty without one. `head`: HEAD /_ping.
  virtual std::optional<std::string> ping(bool head, std::string_view api_version) = 0;
  virtual std::optional<std::string> version(std::string_view api_version) = 0;
};

/// The engine's raw replies (head and body) to GET /_ping and GET /version.
struct EngineReplies {
  std::string ping;
  std::string version;
};

/// Answers with what the engine said last, names and order of the headers kept; only Date is
/// of now. The owner replaces the replies whenever the agent tells of another engine and
/// clears them when it cannot know. Loop thread only.
class StoredAnswers final : public LocalAnswers {
 public:
  using Clock = std::function<std::chrono::system_clock::time_point()>;
  explicit StoredAnswers(Clock clock = &std::chrono::system_clock::now);

  /// False, and everything is forwarded, if the replies are not what such an engine sends:
  /// status 200, complete, with a length.
  bool set(const EngineReplies& replies);
  void clear() { stored_.reset(); }

  std::optional<std::string> ping(bool head, std::string_view api_version) override;
  std::optional<std::string> version(std::string_view api_version) override;

 private:
  struct Stored {
    std::string ping_head, ping_body;
    std::string version_head, version_body;
    std::string api_min, api_max;  // empty if the engine did not tell
  };
  bool answers(std::string_view api_version) const;

  Clock clock_;
  std::optional<Stored> stored_;
};

}  // namespace towline::proxy
