#include "syncfs/record_reader.h"

#include "protocol/error.h"
#include "syncfs/flight.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>

namespace towline::syncfs {
namespace {

constexpr std::size_t kPrefixMax = 5;  // varint of a 32-bit length

}  // namespace

void RecordReader::feed(Bytes bytes) {
  if (consumed_ > 0) buffer_.erase(0, consumed_);
  consumed_ = 0;
  buffer_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

bool RecordReader::next(google::protobuf::MessageLite& into) {
  const std::size_t held = buffer_.size() - consumed_;
  const auto* start = reinterpret_cast<const std::uint8_t*>(buffer_.data()) + consumed_;
  const auto shown = static_cast<int>(std::min(held, kPrefixMax));
  google::protobuf::io::CodedInputStream prefix(start, shown);
  std::uint32_t size = 0;
  if (!prefix.ReadVarint32(&size)) {
    if (held >= kPrefixMax) throw Error(Errc::malformed, "read flight: a record's length");
    return false;
  }
  if (size > kFlightRecordMax) throw Error(Errc::too_large, "read flight: a record");
  const auto used = static_cast<std::size_t>(prefix.CurrentPosition());
  if (held - used < size) return false;
  if (!into.ParseFromArray(start + used, static_cast<int>(size))) {
    throw Error(Errc::malformed, "read flight: a record");
  }
  consumed_ += used + size;
  return true;
}

}  // namespace towline::syncfs
