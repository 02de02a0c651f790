#pragma once

#include "protocol/transport.h"

#include <filesystem>
#include <optional>
#include <string>

namespace towline::proxy {

/// Where one profile (`--name`) keeps what it has. Nothing here is made by asking.
struct Profile {
  std::string name;  // empty: the default profile
  std::filesystem::path state;

  std::filesystem::path docker_socket() const { return state / "docker.sock"; }
  std::filesystem::path control_socket() const { return state / "control.sock"; }
  std::filesystem::path log_file() const { return state / "towline.log"; }
  std::filesystem::path settings_file() const { return state / "profile.json"; }
  /// Of the Docker context: `towline` or `towline-NAME`.
  std::string context_name() const { return name.empty() ? "towline" : "towline-" + name; }
};

/// `--state` where given, else below XDG_STATE_HOME (~/.local/state). Throws
/// Errc::malformed for a name that is no single path component.
Profile find_profile(const std::string& name, const std::string& state);

/// Makes the state directory, 0700.
void make_state(const Profile& profile);

/// What `towline up` was last told, for an `up` without REMOTE.
struct ProfileSettings {
  std::string remote;
  TlsFiles tls;
};
std::optional<ProfileSettings> load_settings(const Profile& profile);
void save_settings(const Profile& profile, const ProfileSettings& settings);

/// Makes or updates the Docker context of this profile, so that `docker --context towline` works.
void write_docker_context(const Profile& profile, const std::string& socket, const std::string& remote);

/// Replaces a file as a whole: written beside it, synced, renamed.
void replace_file(const std::filesystem::path& file, const std::string& content);

}  // namespace towline::proxy
