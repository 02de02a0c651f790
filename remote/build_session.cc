#include "remote/build_session.h"

#include "protocol/error.h"
#include "protocol/event.h"
#include "protocol/log.h"
#include "protocol/message_stream.h"
#include "remote/engine_client.h"
#include "remote/flight_intake.h"
#include "syncfs/tar_source.h"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <array>
#include <optional>

namespace towline::remote {
namespace {

using namespace asio::experimental::awaitable_operators;

constexpr std::size_t kPieceSize = 256 << 10;
constexpr std::size_t kReplyPieceSize = 32 << 10;

/// A piece of the tar, or the blob that is missing to go on.
struct TarPiece {
  std::string bytes;
  bool is_stuck = false;
};

TarPiece read_tar(syncfs::TarSource* source, std::size_t until) {
  TarPiece piece;
  piece.bytes.resize(kPieceSize);
  try {
    piece.bytes.resize(source->read(std::as_writable_bytes(std::span(piece.bytes)), until));
  } catch (const Error& failure) {
    if (failure.code() != Errc::not_found) throw;
    piece.bytes.clear();
    piece.is_stuck = true;
  }
  return piece;
}

std::string chunk_of(const std::string& bytes) {
  return fmt::format("{:x}\r\n", bytes.size()) + bytes + "\r\n";
}

class BuildSession {
 public:
  BuildSession(H2Stream& stream, BuildServices& services, std::string identity)
      : stream_(stream),
        services_(services),
        identity_(std::move(identity)),
        changed_(services.runtime.loop.get_executor()) {}

  asio::awaitable<void> run() {
    wire::BuildUp first;
    MessageReader reader(stream_);
    const bool has_first = co_await reader.read(first);
    if (!has_first) co_return;
    if (!first.has_start()) throw Error(Errc::malformed, "start build: no start message");
    head_ = first.start().request_head();
    if (!head_.ends_with("\r\n\r\n")) throw Error(Errc::malformed, "start build: request head");
    co_await run_beside(take_input(reader), serve());
  }

 private:
  /// Until the proxy ends the stream: then the build is over for it.
  asio::awaitable<void> take_input(MessageReader& reader) {
    wire::BuildUp message;
    for (;;) {
      const bool has_more = co_await reader.read(message);
      if (!has_more) co_return;
      if (message.has_flight()) {
        if (!intake_) start_intake();
        co_await intake_->push(std::move(*message.mutable_flight()));
      } else if (message.has_raw()) {
        is_raw_ = true;
        while (raw_.size() >= kPieceSize) co_await changed_.wait();
        raw_ += message.raw();
        changed_.notify();
      } else if (message.has_done()) {
        raw_done_ = true;
        changed_.notify();
      } else {
        throw Error(Errc::malformed, "read build: a message of no kind");
      }
    }
  }

  void start_intake() {
    intake_ = std::make_unique<FlightIntake>(services_, identity_);
    changed_.notify();
  }

  asio::awaitable<void> serve() {
    try {
      co_await (follow_intake() && feed_engine() && relay_reply());
    } catch (const boost::system::system_error& failure) {
      if (failure.code() == asio::error::operation_aborted) throw;
      if (!error_) error_ = current_wire_error();
    }
    if (!error_) co_return;
    log::warn("build for {}: {}", identity_, error_->message());
    wire::BuildDown down;
    *down.mutable_error() = *error_;
    co_await write_message(stream_, down);
    stream_.close_write();
  }

  asio::awaitable<void> follow_intake() {
    while (!intake_ && !is_raw_ && !raw_done_) co_await changed_.wait();
    while (intake_) {
      std::optional<IntakeEvent> event = co_await intake_->next_event();
      if (!event) co_return;
      co_await on_event(std::move(*event));
    }
  }

  asio::awaitable<void> on_event(IntakeEvent event) {
    wire::BuildDown down;
    if (auto* base = std::get_if<BaseReady>(&event)) {
      base_ = std::move(base->base);
    } else if (const auto* same = std::get_if<SameUpTo>(&event)) {
      same_ = same->members;
    } else if (auto* ready = std::get_if<SnapshotReady>(&event)) {
      next_ = std::move(ready->snapshot);
      is_stuck_ = false;
    } else if (auto* missing = std::get_if<wire::Missing>(&event)) {
      down.mutable_missing()->Swap(missing);
    } else if (auto* signature = std::get_if<wire::SignatureReply>(&event)) {
      down.mutable_signature()->Swap(signature);
    } else if (auto* ack = std::get_if<wire::Ack>(&event)) {
      down.mutable_ack()->Swap(ack);
    } else if (auto* failed = std::get_if<IntakeFailed>(&event)) {
      error_ = failed->error;
      throw Error(Errc::disconnected, "receive flight");
    }
    changed_.notify();
    if (down.kind_case() != wire::BuildDown::KIND_NOT_SET) co_await send(std::move(down));
  }

  /// Posts the build: as soon as there is something of the tar that cannot change.
  asio::awaitable<void> feed_engine() {
    while (!next_ && same_ == 0 && raw_.empty() && !raw_done_) co_await changed_.wait();
    engine_ = co_await connect_engine(services_.engine_socket);
    changed_.notify();
    const std::string head =
        head_.substr(0, head_.size() - 2) + "Transfer-Encoding: chunked\r\n\r\n";
    try {
      co_await engine_->write(head);
      if (is_raw_ || raw_done_) {
        co_await feed_raw();
      } else {
        co_await feed_tar();
      }
      const std::string last = "0\r\n\r\n";
      co_await engine_->write(last);
    } catch (const boost::system::system_error& failure) {
      // The engine may answer and close before it has read all: its answer is being relayed.
      const bool is_closed = failure.code() == asio::error::broken_pipe ||
                             failure.code() == asio::error::connection_reset;
      if (!is_closed) throw;
    }
  }

  asio::awaitable<void> feed_raw() {
    while (!raw_.empty() || !raw_done_) {
      while (raw_.empty() && !raw_done_) co_await changed_.wait();
      if (raw_.empty()) continue;
      const std::string chunk = chunk_of(raw_);
      raw_.clear();
      changed_.notify();
      co_await engine_->write(chunk);
    }
  }

  asio::awaitable<void> feed_tar() {
    const syncfs::OpenBlob open = [this](const BlobId& id) {
      return services_.store.open_verified(id);
    };
    syncfs::TarSource source(next_ ? next_ : base_, open);
    bool has_next = next_ != nullptr;
    for (;;) {
      if (next_ && !has_next) {
        source.continue_with(next_);
        has_next = true;
      }
      const std::size_t until = has_next ? next_->members().size() + 1 : same_;
      const TarPiece piece = co_await run_on(services_.runtime.workers, read_tar, &source, until);
      if (piece.is_stuck) co_await ask_again(source, has_next);
      if (!piece.bytes.empty()) {
        const std::string chunk = chunk_of(piece.bytes);
        co_await engine_->write(chunk);
      } else if (!piece.is_stuck) {
        if (has_next) co_return;
        while (!next_ && same_ <= until) co_await changed_.wait();
      }
    }
  }

  /// A blob went while the build ran (a broken disk, mostly): have it sent again.
  asio::awaitable<void> ask_again(const syncfs::TarSource& source, bool has_next) {
    while (!next_) co_await changed_.wait();
    const std::size_t at = source.position();
    const auto& members = next_->members();
    const std::optional<BlobId> blob =
        at < members.size() ? members[at].entry.blob : next_->tail().rest;
    if (!blob) throw Error(Errc::corrupt, "make the build's tar again");
    if (!has_next) co_return;  // the snapshot that has come meanwhile may have brought it
    if (++asked_again_ > kAskAgainMax) {
      throw Error(Errc::corrupt, "read blob " + blob->hex() + ": it does not stay in the store");
    }
    wire::BuildDown down;
    down.mutable_missing()->add_blobs(
        std::string(reinterpret_cast<const char*>(blob->bytes().data()), BlobId::kSize));
    is_stuck_ = true;
    co_await send(std::move(down));
    while (is_stuck_) co_await changed_.wait();
  }

  asio::awaitable<void> relay_reply() {
    while (!engine_) co_await changed_.wait();
    std::string buffer(kReplyPieceSize, '\0');
    for (;;) {
      const std::size_t n = co_await engine_->read_some(buffer);
      if (n == 0) break;
      wire::BuildDown down;
      down.set_reply(buffer.data(), n);
      co_await send(std::move(down));
    }
    is_over_ = true;
    while (is_sending_) co_await changed_.wait();
    stream_.close_write();
  }

  /// One writer at a time: events and the reply come from different coroutines.
  asio::awaitable<void> send(wire::BuildDown down) {
    while (is_sending_) co_await changed_.wait();
    if (is_over_) co_return;
    is_sending_ = true;
    co_await write_message(stream_, down);
    is_sending_ = false;
    changed_.notify();
  }

  static constexpr int kAskAgainMax = 16;

  H2Stream& stream_;
  BuildServices& services_;
  const std::string identity_;
  Event changed_;  // anything below
  std::string head_;
  std::unique_ptr<FlightIntake> intake_;
  std::shared_ptr<const syncfs::Snapshot> base_, next_;
  std::uint64_t same_ = 0;
  std::string raw_;
  bool is_raw_ = false;
  bool raw_done_ = false;
  bool is_stuck_ = false;
  int asked_again_ = 0;
  std::unique_ptr<UnixStream> engine_;
  bool is_sending_ = false;
  bool is_over_ = false;
  std::optional<wire::WireError> error_;
};

}  // namespace

asio::awaitable<void> serve_build(std::unique_ptr<H2Stream> stream, BuildServices& services,
                                  std::string identity) {
  const auto session = std::make_unique<BuildSession>(*stream, services, std::move(identity));
  try {
    co_await session->run();
  } catch (...) {
    stream->abort();
    throw;
  }
}

}  // namespace towline::remote
