#pragma once

#include "protocol/byte_stream.h"
#include "protocol/limits.h"

#include <google/protobuf/message_lite.h>

#include <string>

namespace towline {

/// Varint length and protobuf message, on a byte stream. Bounded by kMessageMax.
/// Loop thread only; `stream` must outlive it.
class MessageReader {
 public:
  explicit MessageReader(ByteStream& stream) : stream_(stream) {}
  /// False at a clean end of stream between messages. Throws Errc::malformed, Errc::too_large,
  /// Errc::disconnected (end inside a message).
  asio::awaitable<bool> read(google::protobuf::MessageLite& into);
  /// Bytes that were read beyond the last message (the start of a tunnel's raw bytes).
  std::string take_rest();

 private:
  ByteStream& stream_;
  std::string buffer_;
  std::size_t consumed_ = 0;
};

/// The same framing into a string, for records inside a flight and to join messages into one write.
void append_message(const google::protobuf::MessageLite& message, std::string& out);

asio::awaitable<void> write_message(ByteStream& stream, const google::protobuf::MessageLite& message);

}  // namespace towline
