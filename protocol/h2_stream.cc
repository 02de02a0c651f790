#include "protocol/error.h"
#include "protocol/h2_state.h"

#include <algorithm>
#include <cassert>

namespace towline::detail {
namespace {

class Stream final : public H2Stream {
 public:
  Stream(std::shared_ptr<H2State> connection, std::shared_ptr<H2StreamState> state)
      : connection_(std::move(connection)), state_(std::move(state)) {}

  ~Stream() override {
    state_->is_detached = true;
    state_->pending = {};
    const bool is_done = state_->sent_end && state_->has_ended;
    if (!is_done) connection_->reset(*state_);
  }

  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  const std::string& path() const override { return state_->path; }

  asio::awaitable<std::size_t> read_some(std::span<char> into) override {
    const auto state = state_;  // the caller may let the stream go while this waits
    const auto connection = connection_;
    for (;;) {
      const std::size_t held = state->received.size() - state->taken;
      // What came before a clean end is still read when a reset follows it.
      if (state->is_reset && !state->has_ended) connection->throw_failed("read from a stream");
      if (held > 0) co_return take(*connection, *state, into);
      if (state->has_ended) co_return 0;
      co_await state->readable.wait();
    }
  }

  asio::awaitable<void> write(std::span<const char> bytes) override {
    const auto state = state_;
    const auto connection = connection_;
    if (bytes.empty()) co_return;
    assert(state->pending.empty());
    if (state->is_reset || state->wants_end) connection->throw_failed("write to a stream");
    state->pending = bytes;
    connection->start_sending(*state);
    try {
      while (!state->pending.empty() && !state->is_reset) co_await state->writable.wait();
    } catch (...) {  // cancelled: the caller's bytes are about to go
      state->pending = {};
      throw;
    }
    const bool is_sent = state->pending.empty();
    state->pending = {};
    if (!is_sent) connection->throw_failed("write to a stream");
  }

  void close_write() override {
    if (state_->wants_end || state_->is_reset) return;
    state_->wants_end = true;
    connection_->start_sending(*state_);
  }

  void abort() noexcept override { connection_->reset(*state_); }

 private:
  static std::size_t take(H2State& connection, H2StreamState& state, std::span<char> into) {
    const std::size_t n = std::min(into.size(), state.received.size() - state.taken);
    std::copy_n(state.received.data() + state.taken, n, into.data());
    state.taken += n;
    if (state.taken == state.received.size()) {
      state.received.clear();
      state.taken = 0;
    } else if (state.taken > state.received.size() / 2) {
      state.received.erase(0, state.taken);
      state.taken = 0;
    }
    if (!state.is_closed && !connection.is_over) {
      nghttp2_session_consume_stream(connection.session, state.id, n);
      connection.wake.notify();
    }
    return n;
  }

  std::shared_ptr<H2State> connection_;
  std::shared_ptr<H2StreamState> state_;
};

}  // namespace

std::unique_ptr<H2Stream> make_h2_stream(std::shared_ptr<H2State> connection,
                                         std::shared_ptr<H2StreamState> state) {
  return std::make_unique<Stream>(std::move(connection), std::move(state));
}

}  // namespace towline::detail
