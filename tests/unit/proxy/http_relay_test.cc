#include "proxy/http_relay.h"

#include "protocol/limits.h"
#include "tests/unit/proxy/relay_world.h"

namespace towline::proxy {
namespace {

const std::string kGet = "GET /v1.47/info HTTP/1.1\r\nhost:  api.moby.localhost \r\nX-Odd:\r\n\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const std::string kChunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

asio::awaitable<void> keeps_alive(World& w) {
  Peer client = w.connect();
  co_await client.send(kGet);
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(kGet);
  const std::string reply =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n"
      "5;name=\"v\"\r\nhello\r\n0\r\nX-End: yes\r\n\r\n";
  co_await engine.send(reply);
  co_await client.expect(reply);
  co_await client.send(kGet);
  co_await engine.expect(kGet);
  co_await engine.send(kOk);
  co_await client.expect(kOk);
  EXPECT_EQ(w.engine.holds, std::vector<std::size_t>{0});
  client.close();
  co_await engine.expect_end();
}
TEST(HttpRelay, RequestsOfOneConnectionGoByteForByteOnOneTunnel) { run(keeps_alive); }

asio::awaitable<void> pipelines(World& w) {
  Peer client = w.connect();
  const std::string post = "POST /a HTTP/1.1\r\nHost: \r\nContent-Length: 3\r\n\r\nabc";
  co_await client.send(post + kGet + kGet);
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(post);
  co_await settle();
  EXPECT_EQ(engine.socket().available(), 0u) << "one request at a time";
  co_await engine.send(kOk);
  co_await engine.expect(kGet);
  co_await engine.send(kOk);
  co_await engine.expect(kGet);
  co_await engine.send(kOk);
  co_await client.expect(kOk + kOk + kOk);
}
TEST(HttpRelay, PipelinedRequestsKeepTheirOrder) { run(pipelines); }

asio::awaitable<void> flushes(World& w) {
  Peer client = w.connect();
  co_await client.send(kGet);
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(kGet);
  co_await engine.send(kChunkedHead.substr(0, 20));
  co_await settle();
  co_await engine.send(kChunkedHead.substr(20));
  co_await client.expect(kChunkedHead);  // `docker run` waits for it before it starts anything
  // docker-py hands a line over only after the line end behind its chunk.
  const std::vector<std::string> parts = {"3\r\n",       "abc", "\r",   "\n",
                                          "2\r\nde\r\n", "0",   "\r\n", "\r\n"};
  for (const std::string& part : parts) {
    co_await engine.send(part);
    co_await client.expect(part);
  }
  co_await client.send(kGet);
  co_await engine.expect(kGet);
}
TEST(HttpRelay, EveryByteOfAReplyPassesBeforeTheNextComes) { run(flushes); }

asio::awaitable<void> early_close(World& w) {
  Peer client = w.connect();
  co_await client.send("PUT /x HTTP/1.1\r\nHost: d\r\nContent-Length: 4000000\r\n\r\nsome");
  Peer engine = co_await w.engine.accept();
  (void)co_await engine.read_once();
  const std::string reply = "HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
  co_await engine.send(reply);
  engine.close();
  co_await client.expect(reply);
  co_await client.expect_end();
}
TEST(HttpRelay, AnEarlyReplyPassesDuringTheUploadAndItsCloseIsMirrored) { run(early_close); }

asio::awaitable<void> early_keep_alive(World& w) {
  Peer client = w.connect();
  co_await client.send("PUT /x HTTP/1.1\r\nHost: d\r\nContent-Length: 8\r\n\r\nsome");
  Peer engine = co_await w.engine.accept();
  (void)co_await engine.read_once();
  co_await engine.send(kOk);
  co_await client.expect(kOk);
  co_await client.send("rest" + kGet);
  co_await engine.expect("rest" + kGet);
  co_await engine.send(kOk);
  co_await client.expect(kOk);
}
TEST(HttpRelay, AfterAnEarlyReplyTheRestOfTheBodyGoesBeforeTheNextRequest) {
  run(early_keep_alive);
}

asio::awaitable<void> continues(World& w) {
  Peer client = w.connect();
  const std::string head =
      "POST /x HTTP/1.1\r\nHost: d\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n";
  co_await client.send(head);
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(head);
  co_await engine.send("HTTP/1.1 100 Continue\r\n\r\n");
  co_await client.expect("HTTP/1.1 100 Continue\r\n\r\n");
  co_await client.send("2\r\nhi\r\n0\r\n\r\n");
  co_await engine.expect("2\r\nhi\r\n0\r\n\r\n");
  co_await engine.send("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + kOk);
  co_await client.expect("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + kOk);
}
TEST(HttpRelay, InterimRepliesPassAndTheFinalOneEndsTheRequest) { run(continues); }

asio::awaitable<void> bodyless(World& w) {
  Peer client = w.connect();
  co_await client.send(kGet);
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(kGet);
  co_await engine.send(kOk);
  co_await client.expect(kOk);
  struct Case {
    std::string request;
    std::string reply;
  };
  const std::vector<Case> cases = {
      {"HEAD /x HTTP/1.1\r\nHost: d\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"},
      {kGet, "HTTP/1.1 204 No Content\r\n\r\n"},
      {kGet, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"},
      {kGet, kOk}};
  for (const Case& c : cases) {
    co_await client.send(c.request);
    co_await engine.expect(c.request);
    co_await engine.send(c.reply);
    co_await client.expect(c.reply);
  }
}
TEST(HttpRelay, RepliesWithoutBodyEndWithTheirHead) { run(bodyless); }

asio::awaitable<void> until_close(World& w) {
  Peer client = w.connect();
  co_await client.send(kGet);
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(kGet);
  co_await engine.send("HTTP/1.0 200 OK\r\n\r\nall of ");
  co_await client.expect("HTTP/1.0 200 OK\r\n\r\nall of ");
  co_await engine.send("it");
  engine.close();
  const std::string rest = co_await client.read_to_end();
  EXPECT_EQ(rest, "it");
}
TEST(HttpRelay, AReplyWithoutLengthEndsWithTheConnection) { run(until_close); }

asio::awaitable<void> large_head(World& w) {
  Peer client = w.connect();
  const std::string head =
      "POST /build HTTP/1.1\r\nHost: d\r\nX-Registry-Config: " + std::string(900 << 10, 'x') +
      "\r\n\r\n";
  co_await client.send(head);
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(head);
  co_await engine.send(kOk);
  co_await client.expect(kOk);
}
TEST(HttpRelay, AHeaderMuchLargerThan64KiBPasses) { run(large_head); }

asio::awaitable<void> too_large_head(World& w) {
  Peer client = w.connect();
  co_await client.send("GET /x HTTP/1.1\r\nX: " + std::string(kHttpHeadMax + (128 << 10), 'x'));
  const std::string reply = co_await client.read_to_end();
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 431 ")) << reply;
}
TEST(HttpRelay, AHeadBeyondTheLimitIsRefused) { run(too_large_head); }

asio::awaitable<void> half_close(World& w) {
  Peer client = w.connect();
  co_await client.send(kGet);
  client.half_close();
  Peer engine = co_await w.engine.accept();
  const std::string got = co_await engine.read_to_end();
  EXPECT_EQ(got, kGet) << "and its end: dockerd cancels the request";
  co_await engine.send(kOk);
  const std::string reply = co_await client.read_to_end();
  EXPECT_EQ(reply, kOk);
}
TEST(HttpRelay, AHalfCloseDuringARequestReachesTheEngineAndTheReplyStillComes) { run(half_close); }

asio::awaitable<void> disconnect(World& w) {
  Peer client = w.connect();
  co_await client.send(kGet);
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(kGet);
  co_await engine.send(kChunkedHead);
  client.close();
  co_await engine.expect_end();
}
TEST(HttpRelay, AClientThatLeavesAnEndlessReplyIsNoticedWithoutFurtherBytes) { run(disconnect); }

asio::awaitable<void> dead_before_reply(World& w) {
  Peer client = w.connect();
  co_await client.send(kGet);
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(kGet);
  co_await engine.send("HTTP/1.1 200 O");
  engine.close();
  const std::string reply = co_await client.read_to_end();
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 502 Bad Gateway\r\n")) << reply;
  EXPECT_NE(reply.find("\r\n\r\n{\"message\":\"towline: no answer from the docker engine: "),
            std::string::npos)
      << reply;
}
TEST(HttpRelay, AnEngineThatDiesBeforeItsReplyIsTold) { run(dead_before_reply); }

asio::awaitable<void> dead_in_reply(World& w) {
  Peer client = w.connect();
  co_await client.send(kGet);
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(kGet);
  co_await engine.send(kChunkedHead + "2\r\nab\r\n");
  engine.close();
  const std::string reply = co_await client.read_to_end();
  EXPECT_EQ(reply, kChunkedHead + "2\r\nab\r\n") << "no last chunk: the client must notice";
}
TEST(HttpRelay, AReplyThatIsCutStaysCut) { run(dead_in_reply); }

asio::awaitable<void> not_http(World& w) {
  Peer client = w.connect();
  co_await client.send(kGet);
  Peer engine = co_await w.engine.accept();
  co_await engine.send("SSH-2.0-OpenSSH\r\n");
  const std::string reply = co_await client.read_to_end();
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 502 ")) << reply;
  EXPECT_NE(reply.find("not HTTP"), std::string::npos) << reply;
}
TEST(HttpRelay, AnEngineThatSpeaksNoHttpIsTold) { run(not_http); }

asio::awaitable<void> idle_death(World& w) {
  Peer client = w.connect();
  co_await client.send(kGet);
  {
    Peer engine = co_await w.engine.accept();
    co_await engine.expect(kGet);
    co_await engine.send(kOk);
    co_await client.expect(kOk);
  }
  co_await settle();
  co_await client.send(kGet);
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(kGet);
  co_await engine.send(kOk);
  co_await client.expect(kOk);
}
TEST(HttpRelay, ATunnelThatEndsBetweenRequestsIsOpenedAgain) { run(idle_death); }

asio::awaitable<void> unreachable(World& w) {
  struct Case {
    Error error;
    std::string status;
    std::string why;
  };
  const std::vector<Case> cases = {
      {Error(Errc::disconnected, "link to far"), "503 Service Unavailable", "link is down"},
      {Error(make_error_code(boost::system::errc::connection_refused), "docker.sock"),
       "502 Bad Gateway", "agent is there, dockerd is not"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    w.engine.failure = std::make_exception_ptr(c.error);
    Peer client = w.connect();
    co_await client.send(kGet);
    const std::string reply = co_await client.read_to_end();
    EXPECT_TRUE(reply.starts_with("HTTP/1.1 " + c.status + "\r\n")) << reply;
    EXPECT_NE(reply.find("{\"message\":\"towline: cannot reach the docker engine: "),
              std::string::npos)
        << reply;
    Peer prober = w.connect();
    co_await prober.send("HEAD /_ping HTTP/1.1\r\nHost: d\r\n\r\n");
    const std::string head = co_await prober.read_to_end();
    EXPECT_TRUE(head.ends_with("\r\n\r\n")) << "no body after HEAD: " << head;
  }
}
TEST(HttpRelay, AnUnreachableEngineIsToldInDockersForm) { run(unreachable); }

asio::awaitable<void> malformed(World& w) {
  struct Case {
    std::string bytes;
    std::string why;
  };
  const std::vector<Case> cases = {
      {"hello\r\n\r\n", "no request line"},
      {"GET / HTTP/3.7\r\n\r\n", "unknown version"},
      {"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "length is no number"},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", "the body's end cannot be found"},
      {"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "two lengths"},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnothex\r\n", "broken chunk line"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.why);
    Peer client = w.connect();
    co_await client.send(c.bytes);
    const std::string reply = co_await client.read_to_end();
    EXPECT_TRUE(reply.starts_with("HTTP/1.1 400 Bad Request\r\n")) << reply;
    EXPECT_TRUE(reply.ends_with("\r\n\r\n400 Bad Request")) << reply;
    EXPECT_NE(reply.find("Connection: close\r\n"), std::string::npos) << reply;
  }
  Peer cut = w.connect();
  co_await cut.send("GET / HTT");
  cut.half_close();
  const std::string reply = co_await cut.read_to_end();
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 400 ")) << reply;
}
TEST(HttpRelay, WhatIsNotHttpIsRefusedAsGoDoes) { run(malformed); }

asio::awaitable<void> independent(World& w) {
  Peer broken = w.connect();
  Peer sound = w.connect();
  co_await sound.send(kGet);
  Peer engine = co_await w.engine.accept();
  co_await broken.send(kGet);
  Peer other = co_await w.engine.accept();
  other.close();
  (void)co_await broken.read_to_end();
  co_await engine.expect(kGet);
  co_await engine.send(kOk);
  co_await sound.expect(kOk);
}
TEST(HttpRelay, OneClientsFailureIsNoneOfAnothers) { run(independent); }

/// Writes until the relay takes no more; how much it took.
asio::awaitable<std::size_t> fill(Peer& from, std::size_t max) {
  const std::string block(16 << 10, 'x');
  std::size_t total = 0;
  from.socket().non_blocking(true);
  for (int refused = 0; refused < 3 && total < max;) {
    boost::system::error_code ec;
    const std::size_t n = from.socket().write_some(asio::buffer(block), ec);
    total += n;
    refused = ec ? refused + 1 : 0;
    if (ec) co_await settle();
  }
  co_return total;
}

asio::awaitable<void> back_pressure(World& w) {
  Peer client = w.connect();
  co_await client.send(kGet);
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(kGet);
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n";
  co_await engine.send(head);
  const std::size_t taken = co_await fill(engine, 50'000'000);
  EXPECT_LT(taken, 2'000'000u) << "two socket buffers and 64 KiB";
  co_await client.expect(head);
  const std::string body = co_await client.read(taken);
  EXPECT_EQ(body.size(), taken);
}
TEST(HttpRelay, AClientThatStopsReadingStopsTheEngine) { run(back_pressure); }

asio::awaitable<void> upload_pressure(World& w) {
  Peer client = w.connect();
  co_await client.send("POST /images/load HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n");
  Peer engine = co_await w.engine.accept();
  const std::size_t taken = co_await fill(client, 50'000'000);
  EXPECT_LT(taken, 2'000'000u);
}
TEST(HttpRelay, AnEngineThatStopsReadingStopsTheClient) { run(upload_pressure); }

asio::awaitable<void> http2(World& w) {
  Peer client = w.connect();
  co_await client.send("PRI * HT");
  co_await settle();
  EXPECT_TRUE(w.engine.holds.empty());
  co_await client.send(std::string("TP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4", 20));
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4", 28));
  co_await engine.send("settings");
  co_await client.expect("settings");
  client.half_close();
  co_await engine.expect_end();
}
TEST(HttpRelay, AnHttp2ConnectionPassesRaw) { run(http2); }

asio::awaitable<void> line_end(World& w) {
  Peer client = w.connect();
  co_await client.send("\r\n" + kGet);
  Peer engine = co_await w.engine.accept();
  co_await engine.expect(kGet);
}
TEST(HttpRelay, ALineEndBeforeARequestIsForgiven) { run(line_end); }

}  // namespace
}  // namespace towline::proxy
