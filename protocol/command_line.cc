#include "protocol/command_line.h"

#include "protocol/error.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fstream>
#include <vector>

namespace towline {
namespace {

std::string variable_name(std::string flag) {
  std::string name = "TOWLINE_";
  for (const char c : flag) {
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

std::vector<CLI::App*> with_subcommands(CLI::App& app) {
  std::vector<CLI::App*> all{&app};
  for (CLI::App* sub : app.get_subcommands({})) all.push_back(sub);
  return all;
}

std::string joined_key(const CLI::ConfigItem& item) {
  std::string key;
  for (const std::string& parent : item.parents) key += parent + "-";
  return key + item.name;
}

/// Items that only mark where a section begins or ends.
bool is_mark(const CLI::ConfigItem& item) { return item.name == "++" || item.name == "--"; }

void set_default(CLI::App& app, const CLI::ConfigItem& item, const std::string& file) {
  const std::string key = joined_key(item);
  bool is_known = false;
  for (CLI::App* each : with_subcommands(app)) {
    CLI::Option* option = each->get_option_no_throw("--" + key);
    if (!option) continue;
    is_known = true;
    option->default_val(CLI::detail::join(item.inputs, ","));
  }
  if (!is_known) throw Error(Errc::malformed, "read " + file + ": no setting is called '" + key + "'");
}

}  // namespace

void add_value_sources(CLI::App& app, const std::string& file) {
  for (CLI::App* each : with_subcommands(app)) {
    for (CLI::Option* option : each->get_options()) {
      if (option->get_lnames().empty() || option->check_lname("help")) continue;
      option->envname(variable_name(option->get_lnames().front()));
    }
  }
  std::ifstream in(file);
  if (!in) return;
  for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(in)) {
    if (!is_mark(item)) set_default(app, item, file);
  }
}

std::uint64_t parse_size(const std::string& text) {
  std::uint64_t number = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, text.data() + text.size());
  static constexpr std::string_view kUnits = "KMGT";
  int shift = 0;
  if (!unit.empty()) {
    const std::size_t at = kUnits.find(static_cast<char>(std::toupper(static_cast<unsigned char>(unit[0]))));
    const bool is_unit = at != kUnits.npos && (unit.size() == 1 || unit.substr(1) == "iB" || unit.substr(1) == "B");
    if (!is_unit) throw Error(Errc::malformed, "read size '" + text + "' (say 512M or 20G)");
    shift = 10 * (static_cast<int>(at) + 1);
  }
  const bool fits = ec == std::errc() && number <= (UINT64_MAX >> shift);
  if (!fits) throw Error(Errc::malformed, "read size '" + text + "' (say 512M or 20G)");
  return number << shift;
}

}  // namespace towline
