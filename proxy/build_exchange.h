#pragma once

#include "protocol/http_watch.h"
#include "proxy/build_handler.h"
#include "proxy/http_exchange.h"
#include "proxy/read_ahead.h"

#include <exception>

namespace towline::proxy {

/// How a build request ended. With kNoReply, `failure` is what the handler threw; none if it
/// returned without a reply.
struct BuildEnd {
  Outcome outcome = Outcome::kCut;
  std::exception_ptr failure{};
};

/// Lets `handler` serve a build request whose head is read, and cancels it when the client
/// leaves. Whatever the handler throws ends here.
asio::awaitable<BuildEnd> run_build(BuildHandler& handler, RequestWatch& request, ReadAhead& client,
                                    Event& changed);

}  // namespace towline::proxy
