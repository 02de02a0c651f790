#include "protocol/message_stream.h"

#include "protocol/error.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <array>
#include <cassert>

namespace towline {
namespace {

constexpr std::size_t kReadSize = 64 << 10;
constexpr std::size_t kPrefixMax = 5;  // varint of a 32-bit length

struct Prefix {
  std::size_t used = 0;  // 0: more bytes are needed
  std::uint32_t size = 0;
};

Result<Prefix> parse_prefix(std::string_view bytes) {
  const auto shown = static_cast<int>(std::min(bytes.size(), kPrefixMax));
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const std::uint8_t*>(bytes.data()), shown);
  Prefix prefix;
  if (!in.ReadVarint32(&prefix.size)) {
    if (bytes.size() >= kPrefixMax) return Errc::malformed;
    return Prefix{};
  }
  if (prefix.size > kMessageMax) return Errc::too_large;
  prefix.used = static_cast<std::size_t>(in.CurrentPosition());
  return prefix;
}

}  // namespace

asio::awaitable<bool> MessageReader::read(google::protobuf::MessageLite& into) {
  for (;;) {
    const std::string_view held = std::string_view(buffer_).substr(consumed_);
    const Result<Prefix> prefix = parse_prefix(held);
    if (!prefix) throw Error(prefix.error(), "read message: its length");
    if (prefix->used > 0 && held.size() - prefix->used >= prefix->size) {
      const bool is_good = into.ParseFromArray(held.data() + prefix->used, static_cast<int>(prefix->size));
      if (!is_good) throw Error(Errc::malformed, "read message");
      consumed_ += prefix->used + prefix->size;
      co_return true;
    }
    buffer_.erase(0, consumed_);
    consumed_ = 0;
    const std::size_t kept = buffer_.size();
    buffer_.resize(kept + kReadSize);
    const std::size_t n = co_await stream_.read_some(std::span(buffer_).subspan(kept));
    buffer_.resize(kept + n);
    if (n > 0) continue;
    if (kept == 0) co_return false;
    throw Error(Errc::disconnected, "read message: cut off");
  }
}

std::string MessageReader::take_rest() {
  std::string rest = buffer_.substr(consumed_);
  buffer_.clear();
  consumed_ = 0;
  return rest;
}

void append_message(const google::protobuf::MessageLite& message, std::string& out) {
  const std::size_t size = message.ByteSizeLong();
  assert(size <= kFramedMessageMax);
  std::array<std::uint8_t, 10> prefix;
  const std::uint8_t* end = google::protobuf::io::CodedOutputStream::WriteVarint32ToArray(
      static_cast<std::uint32_t>(size), prefix.data());
  out.append(reinterpret_cast<const char*>(prefix.data()), static_cast<std::size_t>(end - prefix.data()));
  message.AppendToString(&out);
}

asio::awaitable<void> write_message(ByteStream& stream, const google::protobuf::MessageLite& message) {
  std::string bytes;
  append_message(message, bytes);
  co_await stream.write(bytes);
}

}  // namespace towline
