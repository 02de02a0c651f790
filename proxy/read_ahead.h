#pragma once

#include "protocol/byte_stream.h"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace towline::proxy {

/// Wakes every coroutine that waits for "something changed"; the waiters look at what they
/// wait for themselves. Loop thread only.
class Event {
 public:
  explicit Event(const asio::any_io_executor& executor);
  void notify() noexcept;
  /// Returns at the next notify() or when cancelled; check the condition again.
  asio::awaitable<void> wait();

 private:
  asio::steady_timer timer_;
};

/// Bytes of one stream kept ahead of their reader, at most kReadAheadMax. A read is always
/// pending while there is room, so the end of the stream is known although nobody asks for
/// bytes, and no read has to be cancelled, which could lose some.
///
/// Loop thread only. The pending read keeps the object alive: end it with abort().
class ReadAhead : public std::enable_shared_from_this<ReadAhead> {
 public:
  /// `changed` is notified of bytes and of the end.
  static std::shared_ptr<ReadAhead> start(const asio::any_io_executor& executor,
                                          std::shared_ptr<ByteStream> stream,
                                          std::shared_ptr<Event> changed);

  /// The next bytes, as many as lie together. Valid until consume().
  std::span<const char> bytes() const noexcept;
  void consume(std::size_t count);

  /// No further bytes will come; some may still be unread.
  bool ended() const noexcept { return ended_; }
  /// Ended, and all bytes are read.
  bool gone() const noexcept { return ended_ && size_ == 0; }
  /// Why it ended; empty after a proper end of stream.
  const std::string& failure() const noexcept { return failure_; }

  ByteStream& stream() noexcept { return *stream_; }
  /// Aborts the stream and ends the reading.
  void abort() noexcept;

 private:
  ReadAhead(std::shared_ptr<ByteStream> stream, std::shared_ptr<Event> changed);
  static asio::awaitable<void> run(std::shared_ptr<ReadAhead> self);
  std::span<char> room() noexcept;

  std::shared_ptr<ByteStream> stream_;
  std::shared_ptr<Event> changed_;
  std::unique_ptr<char[]> ring_;
  std::size_t begin_ = 0;
  std::size_t size_ = 0;
  bool ended_ = false;
  bool full_ = false;  // the reader waits for room
  bool aborted_ = false;
  std::string failure_;
};

inline constexpr std::size_t kReadAheadMax = 64 << 10;

}  // namespace towline::proxy
