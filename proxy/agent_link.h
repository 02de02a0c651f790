#pragma once

#include "protocol/event.h"
#include "protocol/h2_connection.h"
#include "protocol/messages.pb.h"
#include "protocol/resumable_stream.h"
#include "protocol/transport.h"
#include "syncfs/blob_store.h"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace towline::proxy {

/// The proxy's end of the link: connects, says hello, hands out streams, and connects
/// anew when a link is given up (the agent was restarted). Loop thread only.
class AgentLink {
 public:
  struct Options {
    Address remote;
    TlsFiles tls;
    std::chrono::milliseconds grace = kGraceDefault;
  };

  AgentLink(asio::io_context& loop, Options options);
  ~AgentLink();

  /// Connects and keeps connected, until cancelled.
  asio::awaitable<void> run();

  /// Returns when the agent has welcomed us, or throws why it has not, as of the first try that ends.
  asio::awaitable<void> wait_ready();

  /// Opens a stream to a service of the agent. While the link is being made or resumed it waits, at most
  /// kOpenWait; then, or when the agent cannot be reached, throws Error with the reason.
  asio::awaitable<std::unique_ptr<H2Stream>> open(std::string service, Priority priority);

  /// The engine as the agent last reported it; nullptr while there is no agent.
  const wire::EngineInfo* engine() const;
  /// Of the agent's store; zeros before the first welcome.
  const syncfs::StoreId& agent_store() const { return store_; }
  const std::string& agent_version() const { return agent_version_; }

  LinkState state() const;
  const std::string& why() const { return why_; }
  /// Over all links of this process.
  LinkCounters counters() const;
  PathInfo path_info() const;
  const Address& remote() const { return options_.remote; }

  /// Drops the transport under the link: it resumes.
  void drop_transport();

 private:
  struct Session;

  asio::awaitable<void> run_session();
  asio::awaitable<void> greet(H2Connection& connection);
  void on_welcome(const wire::Welcome& welcome);
  void set_down(const std::string& why);

  asio::io_context& loop_;
  Options options_;
  Event changed_;
  std::unique_ptr<Session> session_;  // while there is a link
  bool is_welcome_ = false;
  bool has_failed_ = false;  // the last try did, and no other has come further
  std::string why_ = "connecting";
  std::optional<Error> failure_;
  wire::EngineInfo engine_;
  syncfs::StoreId store_{};
  std::string agent_version_;
  LinkCounters ended_;  // of links that are over
};

}  // namespace towline::proxy
