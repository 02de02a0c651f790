#include "tools/wanemu/tun.h"

#include "tools/wanemu/failure.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

namespace towline::wanemu {
namespace {

ifreq request_for(const char* device) {
  ifreq request{};
  std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
  return request;
}

void set_address(int sock, unsigned long code, const std::string& address) {
  ifreq request = request_for(kDeviceName);
  auto* sin = reinterpret_cast<sockaddr_in*>(&request.ifr_addr);
  sin->sin_family = AF_INET;
  if (inet_pton(AF_INET, address.c_str(), &sin->sin_addr) != 1) fail("address " + address, EINVAL);
  if (ioctl(sock, code, &request) < 0) fail("set address " + address);
}

void bring_up(int sock, const char* device) {
  ifreq request = request_for(device);
  if (ioctl(sock, SIOCGIFFLAGS, &request) < 0) fail("read flags");
  request.ifr_flags |= IFF_UP | IFF_RUNNING;
  if (ioctl(sock, SIOCSIFFLAGS, &request) < 0) fail("bring up " + std::string(device));
}

Fd open_tun(bool offload) {
  Fd tun = open_or_fail("/dev/net/tun", O_RDWR | O_NONBLOCK);
  ifreq request = request_for(kDeviceName);
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | (offload ? IFF_VNET_HDR : 0));
  if (ioctl(tun.get(), TUNSETIFF, &request) < 0) fail("create TUN device");
  if (offload && ioctl(tun.get(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0) fail("enable TSO");
  return tun;
}

}  // namespace

Fd open_or_fail(const std::string& path, int flags, unsigned mode) {
  Fd fd(open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) fail("open " + path);
  return fd;
}

Fd create_tun(const std::string& address, const std::string& peer, const Options& options) {
  Fd tun = open_tun(options.offload);
  const Fd sock(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!sock) fail("socket");
  ifreq request = request_for(kDeviceName);
  request.ifr_mtu = options.mtu;
  if (ioctl(sock.get(), SIOCSIFMTU, &request) < 0) fail("set MTU");
  request = request_for(kDeviceName);
  request.ifr_qlen = 4096;  // wanemu's own queue is the one that should drop
  if (ioctl(sock.get(), SIOCSIFTXQLEN, &request) < 0) fail("set txqueuelen");
  set_address(sock.get(), SIOCSIFADDR, address);
  set_address(sock.get(), SIOCSIFDSTADDR, peer);
  bring_up(sock.get(), "lo");
  bring_up(sock.get(), kDeviceName);
  return tun;
}

}  // namespace towline::wanemu
