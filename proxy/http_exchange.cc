#include "proxy/http_exchange.h"

#include "proxy/reply_relay.h"

#include <boost/asio/experimental/awaitable_operators.hpp>

#include <span>
#include <utility>

namespace towline::proxy {
namespace {

using asio::experimental::awaitable_operators::operator&&;

/// Whether `upstream` has nothing left to do; settles an early reply's outcome.
bool upstream_done(Exchange& x, bool engine_takes_bytes) {
  if (!x.over) return false;
  if (x.outcome != Outcome::kNextRequest || x.request.done()) return true;
  // An early reply on a connection that stays: the engine reads the rest of the body first.
  if (engine_takes_bytes && !x.engine.ended() && !x.client.gone()) return false;
  x.outcome = Outcome::kClose;
  return true;
}

void tell_engine_client_left(Exchange& x) {
  if (x.client.failure().empty()) {
    x.engine.stream().close_write();  // the engine cancels what a client that left had asked for
  } else {
    x.engine.abort();
  }
}

asio::awaitable<void> upstream(Exchange& x) {
  bool engine_takes_bytes = true;
  bool told = false;
  while (!upstream_done(x, engine_takes_bytes)) {
    const std::span<const char> bytes = x.client.bytes();
    if (!x.request.done() && !bytes.empty()) {
      const auto used = x.request.feed(bytes);
      if (!used) {
        x.bad_request = true;
        if (x.over) x.outcome = Outcome::kClose;
        x.engine.abort();
        co_return;
      }
      // An engine that has answered may take no more; its answer is still to be read, and the
      // client still to be read from until it has seen that answer.
      if (engine_takes_bytes) {
        engine_takes_bytes = co_await try_write(x.engine.stream(), bytes.first(*used));
      }
      x.client.consume(*used);
      continue;
    }
    if (x.client.gone() && !std::exchange(told, true)) tell_engine_client_left(x);
    co_await x.changed.wait();
  }
}

Outcome outcome_of(const ReplyRelay& reply) {
  using State = ReplyRelay::State;
  switch (reply.state()) {
    case State::kComplete:
      return reply.keep_alive() ? Outcome::kNextRequest : Outcome::kClose;
    case State::kTunnel:
      return Outcome::kTunnel;
    case State::kNoReply:
      return Outcome::kNoReply;
    case State::kMalformed:
      return reply.started() ? Outcome::kCut : Outcome::kNoReply;
    default:
      return Outcome::kCut;
  }
}

std::string failure_of(const ReplyRelay& reply, const ReadAhead& engine) {
  if (reply.state() == ReplyRelay::State::kMalformed) return "what it sent is not HTTP";
  return engine.failure().empty() ? "it closed the connection" : engine.failure();
}

asio::awaitable<void> downstream(Exchange& x) {
  ReplyRelay reply(x.client.stream(), x.request.head());
  while (reply.running()) {
    const std::span<const char> bytes = x.engine.bytes();
    if (!bytes.empty()) {
      const std::size_t used = co_await reply.pass(bytes);
      x.engine.consume(used);
    } else if (x.engine.ended()) {
      reply.end(x.engine.failure().empty());
    } else {
      co_await x.changed.wait();
    }
  }
  x.outcome = outcome_of(reply);
  x.failure = failure_of(reply, x.engine);
  x.over = true;
  const bool stays = x.outcome == Outcome::kNextRequest || x.outcome == Outcome::kTunnel;
  if (!stays) x.engine.abort();  // also frees an upload that nobody reads any more
  x.changed.notify();
}

asio::awaitable<void> client_to_engine(ReadAhead& client, ReadAhead& engine, Event& changed) {
  bool engine_takes_bytes = true;
  for (;;) {
    const std::span<const char> bytes = client.bytes();
    if (!bytes.empty()) {
      if (engine_takes_bytes) engine_takes_bytes = co_await try_write(engine.stream(), bytes);
      client.consume(bytes.size());
      // With the engine's output ended too, nobody is there: the client's writes must fail.
      if (!engine_takes_bytes && engine.gone()) client.abort();
    } else if (client.ended()) {
      break;
    } else {
      co_await changed.wait();
    }
  }
  if (!client.failure().empty()) {
    engine.abort();
  } else if (engine_takes_bytes) {
    engine.stream().close_write();
  }
}

asio::awaitable<void> engine_to_client(ReadAhead& client, ReadAhead& engine, Event& changed) {
  for (;;) {
    const std::span<const char> bytes = engine.bytes();
    if (!bytes.empty()) {
      const bool written = co_await try_write(client.stream(), bytes);
      if (!written) {
        engine.abort();
        client.abort();
        co_return;
      }
      engine.consume(bytes.size());
    } else if (engine.ended()) {
      break;
    } else {
      co_await changed.wait();
    }
  }
  if (engine.failure().empty()) {
    client.stream().close_write();
  } else {
    client.abort();
  }
}

}  // namespace

asio::awaitable<void> run_exchange(Exchange& exchange) {
  auto both = upstream(exchange) && downstream(exchange);
  co_await std::move(both);
  if (exchange.outcome == Outcome::kClose) exchange.engine.abort();
}

asio::awaitable<void> join_streams(ReadAhead& client, ReadAhead& engine, Event& changed) {
  auto both =
      client_to_engine(client, engine, changed) && engine_to_client(client, engine, changed);
  co_await std::move(both);
}

}  // namespace towline::proxy
