#include "tools/wanemu/route.h"

#include "protocol/fd.h"
#include "tools/wanemu/failure.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cstring>

namespace towline::wanemu {
namespace {

/// An rtnetlink request that grows by attributes.
struct RouteRequest {
  nlmsghdr header;
  rtmsg route;
  char attributes[256];

  char* bytes() { return reinterpret_cast<char*>(this); }

  rtattr* append(unsigned short type, const void* data, std::size_t size) {
    auto* attribute = reinterpret_cast<rtattr*>(bytes() + NLMSG_ALIGN(header.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = static_cast<unsigned short>(RTA_LENGTH(size));
    if (size > 0) std::memcpy(RTA_DATA(attribute), data, size);
    header.nlmsg_len =
        static_cast<std::uint32_t>(NLMSG_ALIGN(header.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
    return attribute;
  }
};

RouteRequest link_route_request() {
  RouteRequest request{};
  request.header.nlmsg_type = RTM_NEWROUTE;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK;
  request.header.nlmsg_len = NLMSG_LENGTH(sizeof(rtmsg));
  request.route.rtm_family = AF_INET;
  request.route.rtm_dst_len = 32;
  request.route.rtm_table = RT_TABLE_MAIN;
  request.route.rtm_protocol = RTPROT_BOOT;
  request.route.rtm_scope = RT_SCOPE_LINK;
  request.route.rtm_type = RTN_UNICAST;
  return request;
}

/// Sends the request and returns the kernel's answer, an errno value or 0.
int exchange(const RouteRequest& request) {
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[1024];
  } reply{};
  const Fd sock(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!sock || send(sock.get(), &request, request.header.nlmsg_len, 0) < 0 ||
      recv(sock.get(), &reply, sizeof reply, 0) < 0) {
    fail("rtnetlink");
  }
  return -reply.error.error;
}

}  // namespace

void set_route(const std::string& peer, const char* device, const Options& options) {
  if (options.congestion.empty() && options.initcwnd == 0) return;
  RouteRequest request = link_route_request();
  in_addr destination{};
  if (inet_pton(AF_INET, peer.c_str(), &destination) != 1) fail("address " + peer, EINVAL);
  const unsigned index = if_nametoindex(device);
  request.append(RTA_DST, &destination, sizeof destination);
  request.append(RTA_OIF, &index, sizeof index);
  rtattr* metrics = request.append(RTA_METRICS, nullptr, 0);
  if (!options.congestion.empty()) {
    request.append(RTAX_CC_ALGO, options.congestion.c_str(), options.congestion.size() + 1);
  }
  if (options.initcwnd > 0) {
    request.append(RTAX_INITCWND, &options.initcwnd, sizeof options.initcwnd);
  }
  const char* end = request.bytes() + request.header.nlmsg_len;
  metrics->rta_len = static_cast<unsigned short>(end - reinterpret_cast<char*>(metrics));
  const int error = exchange(request);
  if (error != 0) fail("route with congestion control '" + options.congestion + "'", error);
}

}  // namespace towline::wanemu
