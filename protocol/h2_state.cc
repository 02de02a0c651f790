#include "protocol/h2_state.h"

#include "protocol/error.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <new>

namespace towline::detail {
namespace {

constexpr std::size_t kFrameMax = 16384;
constexpr std::size_t kPieceMin = 1400;
constexpr double kPieceSeconds = 0.020;  // of link time, so that what is urgent waits no longer

}  // namespace

ssize_t read_data(nghttp2_session*, std::int32_t, std::uint8_t* into, std::size_t length,
                  std::uint32_t* flags, nghttp2_data_source* source, void* user) {
  auto& state = *static_cast<H2State*>(user);
  auto& stream = *static_cast<H2StreamState*>(source->ptr);
  const bool is_bulk = stream.priority == Priority::kBulk;
  const bool has_to_wait = is_bulk && !state.force_bulk && state.interactive_is_pending();
  if ((stream.pending.empty() && !stream.wants_end) || (has_to_wait && !stream.pending.empty())) {
    stream.is_deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  const std::size_t most = is_bulk ? std::min(length, state.bulk_piece()) : length;
  const std::size_t n = std::min(most, stream.pending.size());
  std::copy_n(stream.pending.data(), n, reinterpret_cast<char*>(into));
  stream.pending = stream.pending.subspan(n);
  if (stream.pending.empty()) {
    stream.writable.notify();
    if (stream.wants_end) {
      stream.sent_end = true;
      *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
  }
  return static_cast<ssize_t>(n);
}

namespace {

int on_begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  auto& state = *static_cast<H2State*>(user);
  const bool is_request = frame->hd.type == NGHTTP2_HEADERS &&
                          frame->headers.cat == NGHTTP2_HCAT_REQUEST &&
                          state.role == H2Connection::Role::kServer;
  if (!is_request) return 0;
  auto stream = std::make_shared<H2StreamState>(state.loop);
  stream->id = frame->hd.stream_id;
  state.streams.emplace(stream->id, std::move(stream));
  return 0;
}

int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
              std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
              std::uint8_t, void* user) {
  auto& state = *static_cast<H2State*>(user);
  const auto stream = state.find(frame->hd.stream_id);
  if (!stream || state.role != H2Connection::Role::kServer) return 0;
  const std::string_view key(reinterpret_cast<const char*>(name), name_size);
  const std::string_view text(reinterpret_cast<const char*>(value), value_size);
  if (key == ":path") stream->path = text;
  if (key == "towline-priority" && text == "bulk") stream->priority = Priority::kBulk;
  return 0;
}

void widen(nghttp2_session* session, const H2StreamState& stream) {
  if (stream.priority != Priority::kBulk) return;
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, stream.id, kBulkStreamWindow);
}

int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  auto& state = *static_cast<H2State*>(user);
  const auto stream = state.find(frame->hd.stream_id);
  if (!stream) return 0;
  const bool is_new = frame->hd.type == NGHTTP2_HEADERS &&
                      frame->headers.cat == NGHTTP2_HCAT_REQUEST && state.handler;
  if (is_new) {
    widen(session, *stream);
    state.handler(make_h2_stream(state.shared_from_this(), stream));
  }
  const bool may_end = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
  if (may_end && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
    stream->has_ended = true;
    stream->readable.notify();
  }
  return 0;
}

int on_frame_sent(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  auto& state = *static_cast<H2State*>(user);
  const bool is_opening = frame->hd.type == NGHTTP2_HEADERS &&
                          state.role == H2Connection::Role::kClient;
  if (!is_opening) return 0;
  if (const auto stream = state.find(frame->hd.stream_id)) widen(session, *stream);
  return 0;
}

int on_data(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* bytes,
            std::size_t size, void* user) {
  auto& state = *static_cast<H2State*>(user);
  nghttp2_session_consume_connection(session, size);  // that window never holds anybody up
  const auto stream = state.find(id);
  if (!stream || stream->is_detached) {
    nghttp2_session_consume_stream(session, id, size);
    return 0;
  }
  stream->received.append(reinterpret_cast<const char*>(bytes), size);
  stream->readable.notify();
  return 0;
}

int on_close(nghttp2_session*, std::int32_t id, std::uint32_t error, void* user) {
  auto& state = *static_cast<H2State*>(user);
  const auto stream = state.find(id);
  if (!stream) return 0;
  stream->is_closed = true;
  if (error != NGHTTP2_NO_ERROR || !stream->has_ended) stream->is_reset = true;
  stream->readable.notify();
  stream->writable.notify();
  state.streams.erase(id);
  return 0;
}

struct FreeCallbacks {
  void operator()(nghttp2_session_callbacks* callbacks) const noexcept {
    nghttp2_session_callbacks_del(callbacks);
  }
};
struct FreeOption {
  void operator()(nghttp2_option* option) const noexcept { nghttp2_option_del(option); }
};

nghttp2_session* make_session(H2Connection::Role role, H2State* user) {
  nghttp2_session_callbacks* raw_callbacks = nullptr;
  nghttp2_option* raw_option = nullptr;
  if (nghttp2_session_callbacks_new(&raw_callbacks) != 0) throw std::bad_alloc();
  const std::unique_ptr<nghttp2_session_callbacks, FreeCallbacks> callbacks(raw_callbacks);
  if (nghttp2_option_new(&raw_option) != 0) throw std::bad_alloc();
  const std::unique_ptr<nghttp2_option, FreeOption> option(raw_option);
  nghttp2_session_callbacks_set_on_begin_headers_callback(raw_callbacks, on_begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(raw_callbacks, on_header);
  nghttp2_session_callbacks_set_on_frame_recv_callback(raw_callbacks, on_frame);
  nghttp2_session_callbacks_set_on_frame_send_callback(raw_callbacks, on_frame_sent);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(raw_callbacks, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(raw_callbacks, on_close);
  nghttp2_option_set_no_auto_window_update(raw_option, 1);
  nghttp2_option_set_peer_max_concurrent_streams(raw_option, kConcurrentStreamsMax);
  nghttp2_session* session = nullptr;
  const int made = role == H2Connection::Role::kClient
                       ? nghttp2_session_client_new2(&session, raw_callbacks, user, raw_option)
                       : nghttp2_session_server_new2(&session, raw_callbacks, user, raw_option);
  if (made != 0) throw std::bad_alloc();
  return session;
}

}  // namespace

H2State::H2State(ResumableStream& below_stream, H2Connection::Role its_role,
                 H2Connection::Handler on_stream, boost::asio::any_io_executor executor)
    : below(&below_stream),
      role(its_role),
      handler(std::move(on_stream)),
      loop(executor),
      session(make_session(its_role, this)),
      wake(executor) {
  const std::array<nghttp2_settings_entry, 2> settings{
      {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
       {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kConcurrentStreamsMax}}};
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_MAX_WINDOW_SIZE);
}

H2State::~H2State() { nghttp2_session_del(session); }

std::shared_ptr<H2StreamState> H2State::find(std::int32_t id) const {
  const auto found = streams.find(id);
  return found == streams.end() ? nullptr : found->second;
}

void H2State::start_sending(H2StreamState& stream) {
  if (is_over || stream.is_closed) return;
  if (role == H2Connection::Role::kServer && !stream.is_answered) {
    stream.is_answered = true;
    std::uint8_t name[] = ":status";
    std::uint8_t value[] = "200";
    const nghttp2_nv status{name, value, 7, 3, NGHTTP2_NV_FLAG_NONE};
    const nghttp2_data_provider provider{.source = {.ptr = &stream}, .read_callback = read_data};
    nghttp2_submit_response(session, stream.id, &status, 1, &provider);
  } else if (stream.is_deferred) {
    stream.is_deferred = false;
    nghttp2_session_resume_data(session, stream.id);
  }
  wake.notify();
}

void H2State::reset(H2StreamState& stream) {
  if (!stream.is_closed && !is_over) {
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream.id, NGHTTP2_CANCEL);
    wake.notify();
  }
  stream.is_reset = true;
  stream.has_ended = false;  // our own reset ends reading too
  stream.readable.notify();
  stream.writable.notify();
}

void H2State::fail_all(const std::string& reason) {
  why = reason;
  is_over = true;
  below = nullptr;
  for (const auto& [id, stream] : streams) {
    stream->is_closed = true;
    stream->is_reset = true;
    stream->readable.notify();
    stream->writable.notify();
  }
  streams.clear();
  wake.notify();
}

void H2State::throw_failed(const char* doing) const {
  throw Error(Errc::disconnected, is_over ? std::string(doing) + ": " + why
                                          : std::string(doing) + ": the other side ended it");
}

std::size_t H2State::bulk_piece() const {
  const double rate = below ? below->path_info().delivery_bytes_per_second : 0;
  if (rate <= 0) return kFrameMax;
  const auto piece = static_cast<std::size_t>(rate * kPieceSeconds);
  return std::clamp(piece, kPieceMin, kFrameMax);
}

bool H2State::interactive_is_pending() const {
  return std::any_of(streams.begin(), streams.end(), [this](const auto& entry) {
    const H2StreamState& stream = *entry.second;
    return stream.priority == Priority::kInteractive && !stream.pending.empty() &&
           nghttp2_session_get_stream_remote_window_size(session, stream.id) > 0;
  });
}

void H2State::resume_bulk() {
  for (const auto& [id, stream] : streams) {
    const bool is_held = stream->is_deferred && stream->priority == Priority::kBulk &&
                         !stream->pending.empty();
    if (!is_held) continue;
    stream->is_deferred = false;
    nghttp2_session_resume_data(session, id);
  }
}

}  // namespace towline::detail
