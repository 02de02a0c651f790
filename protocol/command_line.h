#pragma once

#include <cstdint>
#include <string>

namespace CLI {
class App;
}

namespace towline {

/// Gives every long flag of `app` and its subcommands its TOWLINE_* variable
/// (`--tls-ca`: TOWLINE_TLS_CA) and, as default, its value in the TOML file: flags
/// beat environment beats file. A section joins its keys (`[tls]`, `ca`). Throws
/// Errc::malformed for a key that no flag has, naming file and key. A file that is not there is none.
void add_value_sources(CLI::App& app, const std::string& file);

/// `20G`, `512M`, `1024`: powers of 1024. Throws Errc::malformed.
std::uint64_t parse_size(const std::string& text);

}  // namespace towline
