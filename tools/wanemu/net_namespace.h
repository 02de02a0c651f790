#pragma once

#include "protocol/fd.h"
#include "tools/wanemu/options.h"

#include <filesystem>
#include <string>

namespace towline::wanemu {

/// The two ends of a TUN device: its own address and the other namespace's.
struct Addresses {
  std::string self;
  std::string peer;
};

/// A named network namespace (as `ip netns` knows it) that holds one TUN device.
///
/// A lock file says that a live wanemu owns the name; a name whose lock is free is a dead
/// run's and is taken over. Namespaces made by anybody else are never touched. The
/// destructor removes the name; processes inside keep the namespace itself alive.
class NetNamespace {
 public:
  /// Throws std::system_error; the calling thread is in its old namespace afterwards.
  NetNamespace(const std::string& name, const Addresses& addresses, const Options& options);
  NetNamespace(const NetNamespace&) = delete;
  NetNamespace& operator=(const NetNamespace&) = delete;
  ~NetNamespace();

  const std::string& name() const { return name_; }
  int ns_fd() const { return ns_.get(); }
  int tun_fd() const { return tun_.get(); }

  /// Removes what killed runs with made-up names left behind.
  static void sweep_stale();

 private:
  void create(const Addresses& addresses, const Options& options);
  void publish();
  void unpublish() noexcept;

  std::string name_;
  std::filesystem::path mount_path_;
  std::filesystem::path lock_path_;
  Fd lock_;
  Fd ns_;
  Fd tun_;
};

}  // namespace towline::wanemu
