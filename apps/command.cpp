// SPDX-License-Identifier: Apache-2.0
#include "apps/command.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "kernels/common/nearest.h"

namespace isda {

namespace {

std::vector<Command>& commands() {
  static std::vector<Command> list;
  return list;
}

}  // namespace

const std::vector<Command>& all_commands() { return commands(); }

Subcommand::Subcommand(Command command) {
  auto& list = commands();
  const auto place = std::upper_bound(list.begin(), list.end(), command.name, [](const std::string& name, const Command& other) { return name < other.name; });
  list.insert(place, std::move(command));
}

CLI::Validator one_of(std::vector<std::string> words) {
  const std::string choice = fmt::format("{}", fmt::join(words, "|"));
  const auto check = [words = std::move(words)](const std::string& given) {
    if (std::find(words.begin(), words.end(), given) != words.end()) return std::string();
    return fmt::format("'{}' is none of {}{}", given, fmt::join(words, ", "), suggestion(given, words));
  };
  return CLI::Validator(check, choice);
}

std::string suggestion(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string found = nearest(word, candidates);
  return found.empty() ? "" : fmt::format("; did you mean {}?", found);
}

}  // namespace isda
