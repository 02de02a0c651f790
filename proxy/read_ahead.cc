#include "proxy/read_ahead.h"

#include "protocol/runtime.h"
#include "protocol/stream.h"
#include "proxy/docker_error.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace towline::proxy {

Event::Event(const asio::any_io_executor& executor)
    : timer_(executor, asio::steady_timer::time_point::max()) {}

void Event::notify() noexcept { timer_.cancel(); }

asio::awaitable<void> Event::wait() {
  // Always "aborted": the timer never expires.
  co_await timer_.async_wait(kAsTuple);
}

ReadAhead::ReadAhead(std::shared_ptr<ByteStream> stream, std::shared_ptr<Event> changed)
    : stream_(std::move(stream)), changed_(std::move(changed)), ring_(new char[kReadAheadMax]) {}

std::shared_ptr<ReadAhead> ReadAhead::start(const asio::any_io_executor& executor,
                                            std::shared_ptr<ByteStream> stream,
                                            std::shared_ptr<Event> changed) {
  std::shared_ptr<ReadAhead> self(new ReadAhead(std::move(stream), std::move(changed)));
  spawn(executor, "read ahead", run(self));
  return self;
}

std::span<const char> ReadAhead::bytes() const noexcept {
  return {ring_.get() + begin_, std::min(size_, kReadAheadMax - begin_)};
}

void ReadAhead::consume(std::size_t count) {
  assert(count <= size_);
  begin_ = (begin_ + count) % kReadAheadMax;
  size_ -= count;
  if (std::exchange(full_, false)) changed_->notify();
}

void ReadAhead::abort() noexcept {
  aborted_ = true;
  stream_->abort();
  changed_->notify();
}

std::span<char> ReadAhead::room() noexcept {
  const std::size_t end = (begin_ + size_) % kReadAheadMax;
  const std::size_t until = end < begin_ ? begin_ : kReadAheadMax;
  return {ring_.get() + end, size_ == kReadAheadMax ? 0 : until - end};
}

asio::awaitable<void> ReadAhead::run(std::shared_ptr<ReadAhead> self) {
  try {
    while (!self->aborted_) {
      const std::span<char> into = self->room();
      if (into.empty()) {
        self->full_ = true;
        co_await self->changed_->wait();
        continue;
      }
      const std::size_t count = co_await self->stream_->read_some(into);
      if (count == 0) break;
      self->size_ += count;
      self->changed_->notify();
    }
  } catch (const std::exception& e) {  // told by failure(), where the session asks
    self->failure_ = plain_text(e);
  }
  self->ended_ = true;
  self->changed_->notify();
}

}  // namespace towline::proxy
