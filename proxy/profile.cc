#include "proxy/profile.h"

#include "protocol/error.h"
#include "protocol/fd.h"
#include "syncfs/sha256.h"

#include <boost/json.hpp>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace towline::proxy {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

fs::path home() {
  if (const char* set = std::getenv("HOME"); set && *set) return set;
  const passwd* user = ::getpwuid(::getuid());
  if (!user) throw_errno("find the home directory");
  return user->pw_dir;
}

fs::path base_directory(const char* variable, const char* below_home) {
  const char* set = std::getenv(variable);
  return set && *set ? fs::path(set) : home() / below_home;
}

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

}  // namespace

Profile find_profile(const std::string& name, const std::string& state) {
  const bool is_component = name.find_first_of("/\\") == name.npos && name != "." && name != "..";
  if (!is_component) throw Error(Errc::malformed, "use profile name '" + name + "'");
  if (!state.empty()) return {name, fs::absolute(state)};
  const fs::path all = base_directory("XDG_STATE_HOME", ".local/state") / "towline";
  return {name, all / (name.empty() ? "default" : name)};
}

void make_state(const Profile& profile) {
  std::error_code ec;
  fs::create_directories(profile.state, ec);
  if (!ec) fs::permissions(profile.state, fs::perms::owner_all, ec);
  if (ec) throw Error(ec, "make state directory " + profile.state.string());
}

std::optional<ProfileSettings> load_settings(const Profile& profile) {
  std::ifstream in(profile.settings_file(), std::ios::binary);
  if (!in) return std::nullopt;
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  boost::system::error_code ec;
  const json::value value = json::parse(text, ec);
  if (ec || !value.is_object()) {
    throw Error(Errc::corrupt, "read " + profile.settings_file().string() + " (remove it, and name the remote)");
  }
  const json::object& all = value.get_object();
  return ProfileSettings{text_of(all, "remote"),
                         {text_of(all, "tls_ca"), text_of(all, "tls_cert"), text_of(all, "tls_key")}};
}

void save_settings(const Profile& profile, const ProfileSettings& settings) {
  const json::object all{{"remote", settings.remote},
                         {"tls_ca", settings.tls.ca},
                         {"tls_cert", settings.tls.certificate},
                         {"tls_key", settings.tls.key}};
  replace_file(profile.settings_file(), json::serialize(all) + "\n");
}

void write_docker_context(const Profile& profile, const std::string& socket,
                          const std::string& remote) {
  // The docker CLI looks a context up by the SHA-256 of its name (docker/cli, cli/context/store).
  const std::string name = profile.context_name();
  const std::string directory = syncfs::blob_id_of(std::as_bytes(std::span(name))).hex();
  const fs::path meta =
      base_directory("DOCKER_CONFIG", ".docker") / "contexts" / "meta" / directory;
  std::error_code ec;
  fs::create_directories(meta, ec);
  if (ec) throw Error(ec, "make Docker context " + name + " in " + meta.string());
  const json::object all{
      {"Name", name},
      {"Metadata", {{"Description", "Towline: " + remote}}},
      {"Endpoints", {{"docker", {{"Host", "unix://" + socket}, {"SkipTLSVerify", false}}}}}};
  replace_file(meta / "meta.json", json::serialize(all));
}

void replace_file(const fs::path& file, const std::string& content) {
  const fs::path beside = file.string() + ".new";
  {
    const Fd fd(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!fd) throw_errno("write " + beside.string());
    const ssize_t written = ::write(fd.get(), content.data(), content.size());
    if (written != static_cast<ssize_t>(content.size())) throw_errno("write " + beside.string());
    if (::fsync(fd.get()) != 0) throw_errno("write " + beside.string());
  }
  std::error_code ec;
  fs::rename(beside, file, ec);
  if (ec) throw Error(ec, "replace " + file.string());
}

}  // namespace towline::proxy
