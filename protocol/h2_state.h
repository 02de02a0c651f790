#pragma once

#include "protocol/event.h"
#include "protocol/h2_connection.h"

#include <nghttp2/nghttp2.h>

#include <deque>
#include <map>
#include <memory>
#include <string>

namespace towline::detail {

struct H2State;

/// One stream as the connection sees it. Shared by the connection, while nghttp2
/// knows the stream, and by the H2Stream that was handed out.
struct H2StreamState {
  explicit H2StreamState(boost::asio::any_io_executor loop) : readable(loop), writable(loop) {}

  std::int32_t id = -1;
  std::string path;
  Priority priority = Priority::kInteractive;
  bool is_detached = false;  // the H2Stream is gone: what still comes is dropped
  bool is_answered = false;  // a server has submitted its response
  bool is_closed = false;    // nghttp2 has forgotten it

  std::string received;  // bounded by the receive window
  std::size_t taken = 0;
  bool has_ended = false;  // the peer sent END_STREAM
  bool is_reset = false;
  Event readable;

  std::span<const char> pending;  // of the write() that waits
  bool wants_end = false;
  bool sent_end = false;
  bool is_deferred = false;
  Event writable;
};

/// The connection's inside. Outlives the H2Connection while streams hold on to it.
struct H2State : std::enable_shared_from_this<H2State> {
  H2State(ResumableStream& below_stream, H2Connection::Role its_role, H2Connection::Handler on_stream,
          boost::asio::any_io_executor executor);
  ~H2State();

  std::shared_ptr<H2StreamState> find(std::int32_t id) const;
  /// Hands the first bytes or the end of a stream to nghttp2.
  void start_sending(H2StreamState& stream);
  void reset(H2StreamState& stream);
  void fail_all(const std::string& why);
  [[noreturn]] void throw_failed(const char* doing) const;
  std::size_t bulk_piece() const;
  bool interactive_is_pending() const;
  void resume_bulk();

  ResumableStream* below;  // null once run() has ended
  const H2Connection::Role role;
  H2Connection::Handler handler;
  boost::asio::any_io_executor loop;
  nghttp2_session* session = nullptr;
  std::map<std::int32_t, std::shared_ptr<H2StreamState>> streams;
  Event wake;  // the writer
  bool is_over = false;
  bool force_bulk = false;
  std::string why = "the link is over";
};

/// nghttp2's data provider; source->ptr is the H2StreamState.
ssize_t read_data(nghttp2_session* session, std::int32_t id, std::uint8_t* into, std::size_t length,
                  std::uint32_t* flags, nghttp2_data_source* source, void* user);

std::unique_ptr<H2Stream> make_h2_stream(std::shared_ptr<H2State> connection,
                                         std::shared_ptr<H2StreamState> state);

}  // namespace towline::detail
