#pragma once

#include "protocol/http_watch.h"
#include "proxy/read_ahead.h"

#include <string>

namespace towline::proxy {

/// How one request ended, and so what becomes of the client's connection.
enum class Outcome {
  kNextRequest,  // request and reply are complete
  kClose,        // the reply is complete, the connection ends with it
  kTunnel,       // byte stream from here on
  kNoReply,      // the client has nothing of a final reply yet
  kCut,          // in the middle of the reply
};

/// One request on its way to the engine and its reply on the way back. The references outlive
/// it.
struct Exchange {
  RequestWatch& request;  // head read; the body as far as it was sent with the head
  ReadAhead& client;
  ReadAhead& engine;
  Event& changed;  // of both

  Outcome outcome = Outcome::kNoReply;
  bool over = false;         // the reply has ended, `outcome` says how
  bool bad_request = false;  // with kNoReply: the client's chunking is broken
  std::string failure{};     // with kNoReply: why
};

/// Relays the rest of the request body and the replies, both at once, so that an early reply
/// passes and the client's leaving is noticed at any time. Nothing the client sends behind the
/// request is touched. The engine's side is aborted unless outcome is kNextRequest or kTunnel.
asio::awaitable<void> run_exchange(Exchange& exchange);

/// Byte tunnel after an upgrade: each direction ends on its own, until both have.
asio::awaitable<void> join_streams(ReadAhead& client, ReadAhead& engine, Event& changed);

}  // namespace towline::proxy
