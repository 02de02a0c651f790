#include "proxy/agent_link.h"

#include "protocol/error.h"
#include "protocol/log.h"
#include "protocol/message_stream.h"
#include "protocol/runtime.h"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <algorithm>
#include <random>

namespace towline::proxy {
namespace {

using std::chrono::milliseconds;
using namespace asio::experimental::awaitable_operators;

constexpr milliseconds kRetryMin{200};
constexpr milliseconds kRetryMax{5000};
constexpr milliseconds kOpenWait{5000};

milliseconds with_jitter(milliseconds delay) {
  static std::minstd_rand random{std::random_device{}()};
  return delay / 2 + milliseconds(random() % static_cast<unsigned>(delay.count() / 2 + 1));
}

LinkCounters sum(const LinkCounters& a, const LinkCounters& b) {
  return {.sent_bytes = a.sent_bytes + b.sent_bytes,
          .received_bytes = a.received_bytes + b.received_bytes,
          .replayed_bytes = a.replayed_bytes + b.replayed_bytes,
          .resumes = a.resumes + b.resumes};
}

}  // namespace

struct AgentLink::Session {
  std::unique_ptr<ResumableStream> stream;
  std::unique_ptr<H2Connection> connection;
};

AgentLink::AgentLink(asio::io_context& loop, Options options)
    : loop_(loop), options_(std::move(options)), changed_(loop.get_executor()) {}

AgentLink::~AgentLink() = default;

asio::awaitable<void> AgentLink::run() {
  asio::steady_timer pause(loop_);
  milliseconds delay = kRetryMin;
  for (;;) {
    const bool was_welcome = is_welcome_;
    try {
      co_await run_session();
    } catch (const boost::system::system_error& failure) {
      if (failure.code() == asio::error::operation_aborted && !session_) throw;
      failure_.emplace(failure.code(), failure.what());
      set_down(failure.what());
    }
    if (is_welcome_ || was_welcome) delay = kRetryMin;
    is_welcome_ = false;
    pause.expires_after(with_jitter(delay));
    co_await pause.async_wait(asio::use_awaitable);
    delay = std::min(delay * 2, kRetryMax);
  }
}

asio::awaitable<void> AgentLink::run_session() {
  ResumableClientOptions resumable;
  resumable.grace = options_.grace;
  resumable.dial = [remote = options_.remote, tls = options_.tls] {
    return dial_transport(remote, tls);
  };
  auto session = std::make_unique<Session>();
  session->stream = co_await connect_resumable(std::move(resumable));
  session->stream->on_state([this](LinkState state, const std::string& why) {
    why_ = why;
    log::info("link to {}: {}: {}", options_.remote.str(),
              state == LinkState::kUp ? "up" : "waiting", why);
  });
  session->connection = H2Connection::make(
      *session->stream, H2Connection::Role::kClient, loop_.get_executor());
  session_ = std::move(session);
  std::exception_ptr failure;
  try {
    co_await (session_->connection->run() && greet(*session_->connection));
  } catch (...) {  // kept until the link is taken apart, then thrown on
    failure = std::current_exception();
  }
  ended_ = sum(ended_, session_->stream->counters());
  session_.reset();
  if (failure) std::rethrow_exception(failure);
}

/// Says hello and takes news of the engine in until the link ends.
asio::awaitable<void> AgentLink::greet(H2Connection& connection) {
  const auto stream = connection.open("/towline/control", Priority::kInteractive);
  wire::Hello hello;
  hello.set_protocol_min(kProtocolMin);
  hello.set_protocol_max(kProtocolMax);
  hello.set_version(TOWLINE_VERSION);
  co_await write_message(*stream, hello);
  MessageReader reader(*stream);
  wire::Control control;
  for (;;) {
    const bool has_more = co_await reader.read(control);
    if (!has_more) throw Error(Errc::disconnected, "link to " + options_.remote.str());
    if (control.has_refusal()) {
      const wire::Refusal& refusal = control.refusal();
      throw Error(Errc::incompatible,
                  fmt::format("connect to {}: towline {} speaks protocol {}, towline-agent {} "
                              "speaks {} to {} ({})",
                              options_.remote.str(), TOWLINE_VERSION, kProtocolMax,
                              refusal.version(), refusal.protocol_min(), refusal.protocol_max(),
                              refusal.reason()));
    }
    if (control.has_welcome()) on_welcome(control.welcome());
    if (control.has_engine()) engine_ = control.engine();
  }
}

void AgentLink::on_welcome(const wire::Welcome& welcome) {
  if (welcome.store_id().size() != store_.size()) {
    throw Error(Errc::malformed, "read the agent's welcome");
  }
  std::copy_n(reinterpret_cast<const std::byte*>(welcome.store_id().data()), store_.size(),
              store_.begin());
  agent_version_ = welcome.version();
  engine_ = welcome.engine();
  is_welcome_ = true;
  failure_.reset();
  why_ = "connected";
  log::info("link to {}: agent {} with engine {}", options_.remote.str(), agent_version_,
            engine_.reachable() ? engine_.version() : "not reachable");
  changed_.notify();
}

void AgentLink::set_down(const std::string& why) {
  if (why_ != why) log::warn("link to {}: {}", options_.remote.str(), why);
  why_ = why;
  is_welcome_ = false;
  changed_.notify();
}

asio::awaitable<void> AgentLink::wait_ready() {
  while (!is_welcome_) {
    if (failure_) throw *failure_;
    co_await changed_.wait();
  }
}

asio::awaitable<std::unique_ptr<H2Stream>> AgentLink::open(std::string service,
                                                           Priority priority) {
  if (!is_welcome_) {
    try {
      co_await with_timeout(kOpenWait, wait_ready());
    } catch (const Error& failure) {
      if (failure.code() != Errc::timed_out) throw;
      throw Error(Errc::timed_out, "reach the agent at " + options_.remote.str() + ": " + why_);
    }
  }
  co_return session_->connection->open("/towline/" + service, priority);
}

const wire::EngineInfo* AgentLink::engine() const { return is_welcome_ ? &engine_ : nullptr; }

LinkState AgentLink::state() const {
  if (session_ && is_welcome_) return session_->stream->state();
  return failure_ ? LinkState::kDown : LinkState::kConnecting;
}

LinkCounters AgentLink::counters() const {
  return session_ ? sum(ended_, session_->stream->counters()) : ended_;
}

PathInfo AgentLink::path_info() const {
  return session_ ? session_->stream->path_info() : PathInfo{};
}

void AgentLink::drop_transport() {
  if (session_) session_->stream->drop_transport();
}

}  // namespace towline::proxy
