#pragma once

#include <fmt/format.h>

#include <string_view>

namespace towline::log {

enum class Level { kDebug, kInfo, kWarn, kError };

/// Writes one line, an event, to stderr. Any thread. Never secrets, never file contents.
void write(Level level, std::string_view line);

/// Lines below `level` are dropped. Default: kInfo.
void set_level(Level level);
bool enabled(Level level);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kDebug)) write(Level::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kWarn, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace towline::log
