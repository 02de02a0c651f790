#include "proxy/status.h"

#include <boost/json.hpp>
#include <fmt/format.h>

namespace towline::proxy {
namespace {

namespace json = boost::json;

const char* name_of(LinkState state) {
  switch (state) {
    case LinkState::kConnecting:
      return "connecting";
    case LinkState::kUp:
      return "up";
    case LinkState::kDown:
      return "down";
  }
  return "down";
}

json::object link_object(const AgentLink& link) {
  const LinkCounters counters = link.counters();
  return {{"state", name_of(link.state())},
          {"why", link.why()},
          {"agent_version", link.agent_version()},
          {"rtt_ms", link.path_info().rtt_ms},
          {"sent_bytes", counters.sent_bytes},
          {"received_bytes", counters.received_bytes},
          {"replayed_bytes", counters.replayed_bytes},
          {"resumes", counters.resumes}};
}

json::value engine_object(const wire::EngineInfo* engine) {
  if (!engine) return nullptr;
  json::array gpus;
  for (const std::string& gpu : engine->gpus()) gpus.emplace_back(gpu);
  return json::object{{"reachable", engine->reachable()},
                      {"error", engine->error()},
                      {"version", engine->version()},
                      {"api_version", engine->api_version()},
                      {"os", engine->os()},
                      {"arch", engine->arch()},
                      {"cpus", engine->cpus()},
                      {"memory_bytes", engine->memory_bytes()},
                      {"gpus", std::move(gpus)}};
}

json::object build_object(const BuildStatus& build) {
  const syncfs::FlightCounters& counters = build.counters;
  return {{"id", build.id},
          {"kind", build.kind},
          {"context", build.context},
          {"state", build.state},
          {"files", counters.files},
          {"context_bytes", counters.content_bytes},
          {"sent_bytes", counters.wire_bytes},
          {"received_bytes", build.received_bytes},
          {"blobs_reused", counters.blobs_reused},
          {"blobs_delta", counters.blobs_delta},
          {"blobs_whole", counters.blobs_whole},
          {"blobs_resent", counters.resent},
          {"sync_seconds", build.sync_seconds}};
}

std::string size_text(std::uint64_t bytes) {
  if (bytes < 10'000) return fmt::format("{} B", bytes);
  if (bytes < 10'000'000) return fmt::format("{:.1f} kB", static_cast<double>(bytes) / 1e3);
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

std::string text_at(const json::value& object, const char* key) {
  const json::value* value = object.is_object() ? object.get_object().if_contains(key) : nullptr;
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::uint64_t number_at(const json::value& object, const char* key) {
  return object.at(key).to_number<std::uint64_t>();
}

}  // namespace

std::string status_json(const std::string& profile, const AgentLink& link, const BuildLog& builds,
                        const syncfs::StoreUsage& store) {
  json::array all;
  for (const BuildStatus& build : builds.builds()) all.push_back(build_object(build));
  const json::object status{{"version", TOWLINE_VERSION},
                            {"profile", profile},
                            {"remote", link.remote().str()},
                            {"link", link_object(link)},
                            {"engine", engine_object(link.engine())},
                            {"builds", std::move(all)},
                            {"shares", json::array{}},
                            {"ports", json::array{}},
                            {"store",
                             {{"bytes", store.bytes},
                              {"budget_bytes", store.budget_bytes},
                              {"blobs", store.blobs}}}};
  return json::serialize(status) + "\n";
}

std::string status_text(const std::string& text) {
  const json::value status = json::parse(text);
  const json::value& link = status.at("link");
  std::string out = fmt::format("remote  {}\nlink    {}", text_at(status, "remote"), text_at(link, "state"));
  if (text_at(link, "state") != "up") out += " (" + text_at(link, "why") + ")";
  out += fmt::format(", {} sent, {} received, {} resumes\n", size_text(number_at(link, "sent_bytes")),
                     size_text(number_at(link, "received_bytes")), number_at(link, "resumes"));
  const json::value& engine = status.at("engine");
  if (engine.is_object()) {
    out += engine.at("reachable").as_bool()
               ? fmt::format("engine  {} (API {}) on {}/{}, {} CPUs\n", text_at(engine, "version"),
                             text_at(engine, "api_version"), text_at(engine, "os"),
                             text_at(engine, "arch"), number_at(engine, "cpus"))
               : fmt::format("engine  not reachable: {}\n", text_at(engine, "error"));
  }
  for (const json::value& build : status.at("builds").as_array()) {
    out += fmt::format("build   {} {}: {} files, {}, sent {}; {} reused, {} deltas, {} whole\n",
                       text_at(build, "context"), text_at(build, "state"), number_at(build, "files"),
                       size_text(number_at(build, "context_bytes")),
                       size_text(number_at(build, "sent_bytes")), number_at(build, "blobs_reused"),
                       number_at(build, "blobs_delta"), number_at(build, "blobs_whole"));
  }
  const json::value& store = status.at("store");
  return out + fmt::format("store   {} blobs, {} of {}\n", number_at(store, "blobs"),
                           size_text(number_at(store, "bytes")),
                           size_text(number_at(store, "budget_bytes")));
}

}  // namespace towline::proxy
