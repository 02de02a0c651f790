#include "remote/engine_watch.h"

#include "protocol/error.h"
#include "protocol/log.h"
#include "remote/engine_client.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json.hpp>

#include <algorithm>
#include <array>
#include <chrono>

namespace towline::remote {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;

constexpr milliseconds kRetryMin{100};
constexpr milliseconds kRetryMax{1000};

std::string text_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::uint64_t number_of(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value && value->is_int64() ? static_cast<std::uint64_t>(value->get_int64()) : 0;
}

json::object object_of(const EngineReply& reply, const char* what) {
  if (reply.status != 200) {
    throw Error(Errc::unsupported, std::string("ask the engine for ") + what + ": HTTP status " +
                                       std::to_string(reply.status));
  }
  boost::system::error_code ec;
  json::value value = json::parse(reply.body, ec);
  if (ec || !value.is_object()) {
    throw Error(Errc::malformed, std::string("ask the engine for ") + what + ": no JSON object");
  }
  return std::move(value.get_object());
}

/// GPUs are whatever runtimes and generic resources /info names: the engine has no list of its own.
void add_gpus(const json::object& info, wire::EngineInfo& into) {
  const json::value* resources = info.if_contains("GenericResources");
  if (resources && resources->is_array()) {
    for (const json::value& resource : resources->get_array()) {
      const json::object* kind = resource.if_object();
      const json::value* named = kind ? kind->if_contains("NamedResourceSpec") : nullptr;
      if (named && named->is_object()) into.add_gpus(text_of(named->get_object(), "Value"));
    }
  }
  const json::value* runtimes = info.if_contains("Runtimes");
  const bool has_nvidia =
      runtimes && runtimes->is_object() && runtimes->get_object().contains("nvidia");
  if (has_nvidia && into.gpus_size() == 0) into.add_gpus("nvidia");
}

bool same_engine(const wire::EngineInfo& a, const wire::EngineInfo& b) {
  return a.reachable() == b.reachable() && a.error() == b.error() &&
         a.version_body() == b.version_body() && a.ping_head() == b.ping_head();
}

}  // namespace

asio::awaitable<void> EngineWatch::run() {
  asio::steady_timer pause(co_await asio::this_coro::executor);
  milliseconds delay = kRetryMin;
  for (;;) {
    std::string why = "the engine closed its event stream";
    try {
      co_await refresh();
      delay = kRetryMin;
      co_await follow_events();
    } catch (const boost::system::system_error& failure) {
      if (failure.code() == asio::error::operation_aborted) throw;
      why = failure.what();
    }
    wire::EngineInfo down = info_;
    down.set_reachable(false);
    down.set_error(why);
    publish(std::move(down));
    pause.expires_after(delay);
    co_await pause.async_wait(asio::use_awaitable);
    delay = std::min(delay * 2, kRetryMax);
  }
}

asio::awaitable<void> EngineWatch::refresh() {
  const EngineReply ping = co_await engine_get(socket_path_, "/_ping");
  const EngineReply version = co_await engine_get(socket_path_, "/version");
  const EngineReply details = co_await engine_get(socket_path_, "/info");
  if (ping.status != 200) throw Error(Errc::unsupported, "ping the engine: " + ping.body);
  const json::object about = object_of(version, "its version");
  const json::object info = object_of(details, "its details");

  wire::EngineInfo next;
  next.set_reachable(true);
  next.set_ping_head(ping.head);
  next.set_ping_body(ping.body);
  next.set_version_head(version.head);
  next.set_version_body(version.body);
  next.set_version(text_of(about, "Version"));
  next.set_api_version(text_of(about, "ApiVersion"));
  next.set_os(text_of(about, "Os"));
  next.set_arch(text_of(about, "Arch"));
  next.set_cpus(static_cast<std::uint32_t>(number_of(info, "NCPU")));
  next.set_memory_bytes(number_of(info, "MemTotal"));
  add_gpus(info, next);
  publish(std::move(next));
}

/// Returns when the stream ends. Every event of type daemon (a reload) asks again.
asio::awaitable<void> EngineWatch::follow_events() {
  const auto stream = co_await connect_engine(socket_path_);
  // filters={"type":["daemon"]}
  const std::string request =
      "GET /events?filters=%7B%22type%22%3A%5B%22daemon%22%5D%7D HTTP/1.1\r\nHost: docker\r\n\r\n";
  co_await stream->write(request);
  std::array<char, 4096> buffer;
  bool is_head = true;
  for (;;) {
    const std::size_t n = co_await stream->read_some(buffer);
    if (n == 0) co_return;
    if (!is_head) co_await refresh();
    is_head = false;  // dockerd flushes the head at once, before any event
  }
}

void EngineWatch::publish(wire::EngineInfo next) {
  if (info_.generation() > 0 && same_engine(info_, next)) return;
  next.set_generation(info_.generation() + 1);
  if (next.reachable()) {
    log::info("engine {} (API {}) answers at {}", next.version(), next.api_version(), socket_path_);
  } else {
    log::warn("engine is not reachable: {}", next.error());
  }
  info_ = std::move(next);
  changed_.notify();
}

asio::awaitable<void> EngineWatch::wait_newer(std::uint64_t seen) {
  while (info_.generation() <= seen) co_await changed_.wait();
}

}  // namespace towline::remote
