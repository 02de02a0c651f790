#include "tools/wanemu/report.h"

#include "tools/wanemu/failure.h"

#include <fstream>
#include <iomanip>
#include <iostream>

namespace towline::wanemu {
namespace {

void write_direction(std::ostream& out, const char* name, const Link::Counters& c) {
  out << "  \"" << name << "\": {\"bytes\": " << c.bytes << ", \"packets\": " << c.packets
      << ", \"lost\": " << c.lost << ", \"dropped_full\": " << c.dropped_full
      << ", \"cut\": " << c.cut << ", \"peak_queue_bytes\": " << c.peak_queue
      << ", \"worst_lateness_us\": " << std::setprecision(1)
      << static_cast<double>(c.worst_lateness_ns) / 1e3 << "}";
}

void print_direction(const char* name, const Link::Counters& c) {
  std::cerr << "wanemu: " << name << ' ' << c.bytes << " bytes, " << c.packets << " packets, "
            << c.lost << " lost, " << c.dropped_full << " dropped by the queue, peak queue "
            << c.peak_queue << " B\n";
}

}  // namespace

void write_json(const std::string& path, const Relay& relay, double seconds) {
  std::ofstream out(path);
  if (!out) fail("open " + path);
  out << std::fixed << "{\n  \"seconds\": " << std::setprecision(6) << seconds << ",\n";
  write_direction(out, "a_to_b", relay.up());
  out << ",\n";
  write_direction(out, "b_to_a", relay.down());
  out << "\n}\n";
  out.close();
  if (!out) fail("write " + path);
}

void print_summary(const Relay& relay, double seconds) {
  std::cerr << "wanemu: " << std::fixed << std::setprecision(3) << seconds << " s\n";
  print_direction("A->B", relay.up());
  print_direction("B->A", relay.down());
}

}  // namespace towline::wanemu
