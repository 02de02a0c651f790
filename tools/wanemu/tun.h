#pragma once

#include "protocol/fd.h"
#include "tools/wanemu/options.h"

#include <cstdint>
#include <string>

namespace towline::wanemu {

inline constexpr const char* kDeviceName = "wan0";

/// What precedes each packet of a TUN device with offload: struct virtio_net_hdr, written
/// out because <linux/virtio_net.h> is not valid C++.
struct VirtioNetHeader {
  std::uint8_t flags, gso_type;
  std::uint16_t hdr_len, gso_size, csum_start, csum_offset;
};
inline constexpr std::uint8_t kGsoNone = 0;
static_assert(sizeof(VirtioNetHeader) == 10);

/// Opens a file close-on-exec. Throws std::system_error.
Fd open_or_fail(const std::string& path, int flags, unsigned mode = 0600);

/// Makes the device kDeviceName in the calling thread's network namespace, point-to-point
/// from `address` to `peer`, and brings it and the loopback up. Throws std::system_error.
Fd create_tun(const std::string& address, const std::string& peer, const Options& options);

}  // namespace towline::wanemu
