#include "tools/wanemu/options.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <string_view>

namespace towline::wanemu {
namespace {

constexpr const char* kUsage = R"(usage: wanemu [options] [-- command-in-A args...]

Joins two network namespaces, A and B, by an emulated wide-area link. Needs root.
  wanemu --rtt-ms 50 --rate-mbit 10 --run-b 'iperf3 -s' --wait-tcp 5201 -- iperf3 -c 10.77.0.2

link (A->B and B->A alike unless an --up/--down form is given)
  --rtt-ms MS           round-trip propagation delay, half each way (default 0)
  --rate-mbit R         bottleneck rate of IP bytes, 0 = unlimited (default 0)
  --up-mbit R           rate A->B          --down-mbit R       rate B->A
  --loss PERCENT        random loss in each direction (default 0)
  --up-loss PERCENT     loss A->B          --down-loss PERCENT loss B->A
  --jitter-ms MS        extra delay, uniform in [0, MS], packets stay in order
  --queue-kb KIB        bottleneck queue (default: one RTT or 4 ms of data, >= 64 KiB)
  --queue-ms MS         the same, as milliseconds of the link's rate
  --overhead BYTES      link-layer bytes counted per packet (default 0)
  --mtu BYTES           (default 1500)
  --offload auto|on|off relay TSO packets whole: less CPU, but coarser queueing
                        and loss (auto: on from 200 Mbit/s without loss)
  --seed N              of the loss and jitter generators (default 1)

namespaces
  --ns-a NAME --ns-b NAME   (default wanemu-PID-a, wanemu-PID-b)
  --addr-a IP --addr-b IP   (default 10.77.0.1, 10.77.0.2)
  --cc NAME             TCP congestion control in both, e.g. cubic, bbr, reno
  --initcwnd N          TCP initial congestion window in both, in segments

commands
  --run-b 'shell'       service in B, started first, killed at the end
  --wait-tcp PORT       wait (<= 30 s) until B answers on this port
  --run-a 'shell'       or: -- command args...; wanemu exits with its status
  (none)                print "ready NS-A NS-B" and hold the namespaces until
                        SIGINT or SIGTERM
  Commands see WANEMU_SELF, WANEMU_PEER (addresses) and WANEMU_SIDE (a or b).
  SIGUSR1 to wanemu cuts the link in both directions; again restores it.

output
  --stats-json FILE     bytes, packets, drops and peak queue of each direction
  --quiet               no summary on stderr
)";

double parse_number(std::string_view name, std::string_view text, double low, double high) {
  double value = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (error != std::errc() || end != last || !(value >= low && value <= high)) {
    throw UsageError(std::string(name) + ": not a number in range: " + std::string(text));
  }
  return value;
}

/// The values that only together with others become options.
struct Raw {
  double rtt_ms = 0;
  double jitter_ms = 0;
  std::optional<double> queue_kb;
  std::optional<double> queue_ms;
  std::string offload = "auto";
};

using Setter = std::function<void(std::string_view name, std::string_view value)>;
using Setters = std::map<std::string_view, Setter>;

/// Takes a number in [low, high] and gives it to `set`.
Setter number(double low, double high, std::function<void(double)> set) {
  return [low, high, set = std::move(set)](std::string_view name, std::string_view value) {
    set(parse_number(name, value, low, high));
  };
}

Setter text(std::string& target) {
  return [&target](std::string_view, std::string_view value) { target = value; };
}

void add_link_setters(Setters& setters, Options& o, Raw& raw) {
  setters["--rtt-ms"] = number(0, 600'000, [&](double v) { raw.rtt_ms = v; });
  setters["--rate-mbit"] = number(0, 1e6, [&](double v) {
    o.up.rate_bps = v * 1e6;
    o.down.rate_bps = v * 1e6;
  });
  setters["--up-mbit"] = number(0, 1e6, [&](double v) { o.up.rate_bps = v * 1e6; });
  setters["--down-mbit"] = number(0, 1e6, [&](double v) { o.down.rate_bps = v * 1e6; });
  setters["--loss"] = number(0, 100, [&](double v) { o.up.loss = o.down.loss = v / 100; });
  setters["--up-loss"] = number(0, 100, [&](double v) { o.up.loss = v / 100; });
  setters["--down-loss"] = number(0, 100, [&](double v) { o.down.loss = v / 100; });
  setters["--jitter-ms"] = number(0, 600'000, [&](double v) { raw.jitter_ms = v; });
  setters["--queue-kb"] = number(2, 1e7, [&](double v) { raw.queue_kb = v; });
  setters["--queue-ms"] = number(0, 600'000, [&](double v) { raw.queue_ms = v; });
  setters["--overhead"] = number(0, 1000, [&](double v) {
    o.up.overhead = static_cast<int>(v);
    o.down.overhead = static_cast<int>(v);
  });
  setters["--mtu"] = number(576, 65535, [&](double v) { o.mtu = static_cast<int>(v); });
  setters["--offload"] = text(raw.offload);
  setters["--seed"] = number(0, 1e15, [&](double v) { o.seed = static_cast<std::uint64_t>(v); });
}

void add_other_setters(Setters& setters, Options& o) {
  setters["--ns-a"] = text(o.ns_a);
  setters["--ns-b"] = text(o.ns_b);
  setters["--addr-a"] = text(o.address_a);
  setters["--addr-b"] = text(o.address_b);
  setters["--cc"] = text(o.congestion);
  setters["--initcwnd"] =
      number(1, 1000, [&](double v) { o.initcwnd = static_cast<std::uint32_t>(v); });
  setters["--run-a"] = text(o.run_a);
  setters["--run-b"] = text(o.run_b);
  setters["--wait-tcp"] = number(1, 65535, [&](double v) { o.wait_tcp = static_cast<int>(v); });
  setters["--stats-json"] = text(o.stats_json);
}

/// Large packets cost little CPU, but are lost and queued as one: they suit fast,
/// loss-free links, where one takes well under a millisecond.
bool choose_offload(const Options& o, const std::string& wish) {
  if (wish != "auto" && wish != "on" && wish != "off") {
    throw UsageError("--offload: auto, on or off");
  }
  constexpr double kOffloadFromBps = 200e6;
  const auto rate = [](const LinkOptions& link) {
    return link.rate_bps > 0 ? link.rate_bps : 1e12;
  };
  const bool fast = std::min(rate(o.up), rate(o.down)) >= kOffloadFromBps;
  return wish == "on" || (wish == "auto" && fast && o.up.loss + o.down.loss == 0);
}

void fill_names(Options& o) {
  const std::string pid = std::to_string(getpid());
  if (o.ns_a.empty()) o.ns_a = kAutoPrefix + pid + "-a";
  if (o.ns_b.empty()) o.ns_b = kAutoPrefix + pid + "-b";
  for (const std::string& name : {o.ns_a, o.ns_b}) {
    if (name.find('/') != std::string::npos || name.front() == '.') {
      throw UsageError("bad namespace name: " + name);
    }
  }
  if (o.ns_a == o.ns_b) throw UsageError("--ns-a and --ns-b must differ");
}

void fill_link(LinkOptions& link, const Raw& raw, int mtu) {
  constexpr double kQueueSecondsMin = 0.004;
  constexpr double kQueueBytesMin = 64.0 * 1024;
  link.delay_ns = std::llround(raw.rtt_ms / 2 * 1e6);
  link.jitter_ns = std::llround(raw.jitter_ms * 1e6);
  const double bytes_per_second = link.rate_bps / 8;
  double bytes = std::max(
      {bytes_per_second * raw.rtt_ms / 1e3, bytes_per_second * kQueueSecondsMin, kQueueBytesMin});
  if (raw.queue_ms) bytes = std::max(bytes_per_second * *raw.queue_ms / 1e3, 2.0 * mtu);
  if (raw.queue_kb) bytes = *raw.queue_kb * 1024;
  link.queue_bytes = std::llround(bytes);
}

void finish(Options& o, const Raw& raw) {
  o.offload = choose_offload(o, raw.offload);
  fill_names(o);
  if (!o.run_a.empty() && !o.argv_a.empty()) {
    throw UsageError("give either --run-a or -- command");
  }
  fill_link(o.up, raw, o.mtu);
  fill_link(o.down, raw, o.mtu);
}

}  // namespace

const char* usage() { return kUsage; }

Options parse_options(const std::vector<std::string>& arguments) {
  Options o;
  Raw raw;
  Setters setters;
  add_link_setters(setters, o, raw);
  add_other_setters(setters, o);
  for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
    const std::string& name = *argument;
    if (name == "--") {
      o.argv_a.assign(argument + 1, arguments.end());
      break;
    }
    if (name == "--help" || name == "-h") {
      o.help = true;
    } else if (name == "--quiet") {
      o.quiet = true;
    } else {
      const auto setter = setters.find(name);
      if (setter == setters.end()) throw UsageError("unknown option: " + name);
      if (++argument == arguments.end()) throw UsageError("missing value: " + name);
      setter->second(name, *argument);
    }
  }
  finish(o, raw);
  return o;
}

}  // namespace towline::wanemu
