#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace towline::proxy {

/// A whole HTTP reply in the engine's own form for errors: `{"message": ...}` and a line
/// end. `message` is "towline: WHAT: WHY (REMEDY)". It closes the connection, because the
/// state of the engine's side is unknown. `to_head`: without the body.
std::string error_reply(unsigned status, std::string_view message, bool to_head);

/// what() in words: without error number and source position, which system_error adds.
std::string plain_text(const std::exception& error);

/// What Go's server answers to a request it cannot read: a plain text line, close. 400, 431.
std::string refusal_reply(unsigned status);

}  // namespace towline::proxy
