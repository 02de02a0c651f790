#include "tools/wanemu/net_namespace.h"

#include "tools/wanemu/failure.h"
#include "tools/wanemu/route.h"
#include "tools/wanemu/tun.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <fstream>

namespace towline::wanemu {
namespace {

namespace fs = std::filesystem;

constexpr const char* kNetnsDir = "/run/netns";  // where `ip netns` looks
constexpr const char* kLockDir = "/run/wanemu";  // one lock file per live namespace
constexpr const char* kOwnNamespace = "/proc/thread-self/ns/net";

fs::path lock_path_of(const std::string& name) { return fs::path(kLockDir) / (name + ".lock"); }

/// The lock, or an empty Fd if another process holds it.
Fd take_lock(const fs::path& path) {
  for (;;) {
    Fd fd = open_or_fail(path, O_RDWR | O_CREAT);
    if (flock(fd.get(), LOCK_EX | LOCK_NB) < 0) return {};
    // The previous owner may have unlinked the file between open and flock.
    struct stat held, current;
    if (fstat(fd.get(), &held) == 0 && stat(path.c_str(), &current) == 0 &&
        held.st_ino == current.st_ino) {
      return fd;
    }
  }
}

/// Only a leftover of wanemu's own is removed: a marker is kept in the lock file, so a
/// namespace made by somebody else is never touched.
void remove_stale_mount(const fs::path& mount_path, const std::string& name) {
  if (!fs::exists(mount_path)) return;
  std::ifstream lock(lock_path_of(name));
  std::string marker;
  std::getline(lock, marker);
  if (marker != "published") fail("namespace " + name + " exists and is not wanemu's", EEXIST);
  umount2(mount_path.c_str(), MNT_DETACH);
  fs::remove(mount_path);
}

}  // namespace

NetNamespace::NetNamespace(const std::string& name, const Addresses& addresses,
                           const Options& options)
    : name_(name), mount_path_(fs::path(kNetnsDir) / name), lock_path_(lock_path_of(name)) {
  fs::create_directories(kLockDir);
  fs::create_directories(kNetnsDir);
  lock_ = take_lock(lock_path_);
  if (!lock_) fail("namespace " + name_ + " belongs to another running wanemu", EBUSY);
  try {
    remove_stale_mount(mount_path_, name_);
  } catch (const std::exception&) {
    fs::remove(lock_path_);
    throw;
  }
  const Fd home = open_or_fail(kOwnNamespace, O_RDONLY);
  if (unshare(CLONE_NEWNET) < 0) {
    const int error = errno;
    fs::remove(lock_path_);
    fail("unshare network namespace (root needed)", error);
  }
  try {
    create(addresses, options);
  } catch (const std::exception&) {
    setns(home.get(), CLONE_NEWNET);
    unpublish();
    throw;
  }
  if (setns(home.get(), CLONE_NEWNET) < 0) fail("return to the first namespace");
}

NetNamespace::~NetNamespace() { unpublish(); }

void NetNamespace::create(const Addresses& addresses, const Options& options) {
  ns_ = open_or_fail(kOwnNamespace, O_RDONLY);
  publish();
  tun_ = create_tun(addresses.self, addresses.peer, options);
  set_route(addresses.peer, kDeviceName, options);
}

void NetNamespace::publish() {
  if (pwrite(lock_.get(), "published\n", 10, 0) != 10) fail("write lock file");
  open_or_fail(mount_path_, O_RDONLY | O_CREAT | O_EXCL, 0);
  if (mount(kOwnNamespace, mount_path_.c_str(), "none", MS_BIND, nullptr) < 0) {
    fail("bind " + mount_path_.string());
  }
}

void NetNamespace::unpublish() noexcept {
  std::error_code ignored;  // best effort: the next run takes over what stays
  umount2(mount_path_.c_str(), MNT_DETACH);
  fs::remove(mount_path_, ignored);
  fs::remove(lock_path_, ignored);
}

void NetNamespace::sweep_stale() {
  std::error_code missing;  // no directory yet: nothing to sweep
  for (const auto& entry : fs::directory_iterator(kLockDir, missing)) {
    const std::string name = entry.path().stem();
    if (!name.starts_with(kAutoPrefix)) continue;
    const Fd lock = take_lock(entry.path());
    if (!lock) continue;
    remove_stale_mount(fs::path(kNetnsDir) / name, name);
    fs::remove(entry.path());
  }
}

}  // namespace towline::wanemu
