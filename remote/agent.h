#pragma once

#include "protocol/runtime.h"
#include "remote/config.h"

#include <memory>
#include <string>

namespace towline::remote {

/// The agent: stores, the engine's watch, listeners and the links they accept.
/// Everything it owns lives on `runtime.loop` but where its type says otherwise.
class Agent {
 public:
  /// Opens the stores and binds the listeners; throws Error (WHAT: WHY (REMEDY)).
  Agent(Runtime& runtime, const Config& config);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  /// Serves until stop(). Loop thread.
  void start();

  /// No new links; those that are there get until `drain` is over.
  void stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace towline::remote
