#include "remote/stats.h"

#include <boost/json.hpp>
#include <fmt/format.h>

namespace towline::remote {

namespace json = boost::json;

std::string stats_json(const syncfs::StoreUsage& store, std::size_t links,
                       const wire::EngineInfo& engine) {
  const json::object all{
      {"version", TOWLINE_VERSION},
      {"links", links},
      {"engine",
       {{"reachable", engine.reachable()},
        {"version", engine.version()},
        {"api_version", engine.api_version()}}},
      {"store",
       {{"bytes", store.bytes}, {"budget_bytes", store.budget_bytes}, {"blobs", store.blobs}}}};
  return json::serialize(all) + "\n";
}

std::string stats_text(const std::string& text) {
  const json::value all = json::parse(text);
  const json::object& engine = all.at("engine").as_object();
  const json::object& store = all.at("store").as_object();
  const bool is_up = engine.at("reachable").as_bool();
  return fmt::format(
      "agent {}\nengine  {}\nlinks   {}\nstore   {} blobs, {} of {} MiB\n",
      all.at("version").as_string().c_str(),
      is_up ? engine.at("version").as_string().c_str() : "not reachable",
      all.at("links").to_number<std::uint64_t>(), store.at("blobs").to_number<std::uint64_t>(),
      store.at("bytes").to_number<std::uint64_t>() >> 20,
      store.at("budget_bytes").to_number<std::uint64_t>() >> 20);
}

}  // namespace towline::remote
