#include "protocol/h2_connection.h"

#include "protocol/error.h"
#include "protocol/h2_state.h"
#include "protocol/runtime.h"

#include <array>
#include <string_view>
#include <vector>

namespace towline {
namespace {

using detail::H2State;
using detail::H2StreamState;

constexpr std::size_t kReadSize = 64 << 10;
/// Frames that are ready together go out together, up to this.
constexpr std::size_t kBatchMax = 16 << 10;

nghttp2_nv field(std::string_view name, std::string_view value) {
  // nghttp2 copies both and does not write through them.
  auto* key = reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data()));
  auto* text = reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data()));
  return {key, text, name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

class Connection final : public H2Connection {
 public:
  explicit Connection(std::shared_ptr<H2State> state) : state_(std::move(state)) {}
  ~Connection() override {
    if (!state_->is_over) state_->fail_all("the link is over");
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  asio::awaitable<void> run() override {
    const auto state = state_;
    std::string why = "the link is over";
    std::exception_ptr failure;
    try {
      co_await run_beside(write_all(state), read_all(state));
    } catch (const std::exception& error) {  // told to every stream, then thrown on
      why = error.what();
      failure = std::current_exception();
    }
    state->fail_all(why);
    if (failure) std::rethrow_exception(failure);
  }

  std::unique_ptr<H2Stream> open(const std::string& path, Priority priority) override {
    if (state_->is_over) state_->throw_failed("open a stream");
    auto stream = std::make_shared<H2StreamState>(state_->loop);
    stream->path = path;
    stream->priority = priority;
    std::vector<nghttp2_nv> head{field(":method", "POST"), field(":scheme", "http"),
                                 field(":authority", "towline"), field(":path", path)};
    if (priority == Priority::kBulk) head.push_back(field("towline-priority", "bulk"));
    const nghttp2_data_provider provider{.source = {.ptr = stream.get()},
                                         .read_callback = detail::read_data};
    stream->id = nghttp2_submit_request(state_->session, nullptr, head.data(), head.size(),
                                        &provider, nullptr);
    if (stream->id < 0) {
      throw Error(Errc::too_large, std::string("open a stream: ") + nghttp2_strerror(stream->id));
    }
    state_->streams.emplace(stream->id, stream);
    state_->wake.notify();
    return detail::make_h2_stream(state_, std::move(stream));
  }

  void close() override {
    if (state_->is_over) return;
    nghttp2_session_terminate_session(state_->session, NGHTTP2_NO_ERROR);
    state_->wake.notify();
  }

  std::size_t streams() const override { return state_->streams.size(); }

 private:
  /// Returns when neither side wants anything more: after close() or the peer's end.
  static asio::awaitable<void> write_all(std::shared_ptr<H2State> state) {
    std::string batch;
    for (;;) {
      fill(*state, batch);
      if (!batch.empty()) {
        co_await state->below->write(batch);
        continue;
      }
      const bool wants_more = nghttp2_session_want_read(state->session) != 0 ||
                              nghttp2_session_want_write(state->session) != 0;
      if (!wants_more) co_return;
      co_await state->wake.wait();
    }
  }

  /// Takes what nghttp2 has ready: interactive first, bulk when there is nothing else.
  static void fill(H2State& state, std::string& batch) {
    batch.clear();
    const std::size_t most = std::min(kBatchMax, state.bulk_piece());
    state.force_bulk = false;
    for (;;) {
      const std::uint8_t* bytes = nullptr;
      const ssize_t n = nghttp2_session_mem_send(state.session, &bytes);
      if (n < 0) {
        throw Error(Errc::malformed, std::string("send on the link: ") +
                                         nghttp2_strerror(static_cast<int>(n)));
      }
      batch.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(n));
      if (batch.size() >= most) return;
      if (n > 0) continue;
      if (state.force_bulk || !batch.empty()) return;
      state.force_bulk = true;  // nothing interactive can be sent: held bulk may go
      state.resume_bulk();
    }
  }

  static asio::awaitable<void> read_all(std::shared_ptr<H2State> state) {
    std::string buffer(kReadSize, '\0');
    for (;;) {
      const std::size_t n = co_await state->below->read_some(buffer);
      if (n == 0) throw Error(Errc::disconnected, "the link was closed by the other side");
      const ssize_t used = nghttp2_session_mem_recv(
          state->session, reinterpret_cast<const std::uint8_t*>(buffer.data()), n);
      if (used < 0) {
        throw Error(Errc::malformed, std::string("read the link's HTTP/2: ") +
                                         nghttp2_strerror(static_cast<int>(used)));
      }
      state->wake.notify();
    }
  }

  std::shared_ptr<H2State> state_;
};

}  // namespace

std::unique_ptr<H2Connection> H2Connection::make(ResumableStream& below, Role role,
                                                 asio::any_io_executor loop, Handler handler) {
  return std::make_unique<Connection>(
      std::make_shared<H2State>(below, role, std::move(handler), std::move(loop)));
}

}  // namespace towline
